#include "base/http_client.h"

#include <atomic>
#include <fcntl.h>
#include <future>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <set>
#include <thread>

#include "base/error.h"
#include "base/fs.h"
#include "base/http_server.h"
#include "tests/unit/base/closed_port.h"

namespace kiln {
namespace {

using testing::HasSubstr;

HttpServer::Options on_free_port() {
  HttpServer::Options options;
  options.port = 0;
  return options;
}

Awaitable<void> mirror(HttpExchange& exchange) {
  const std::string body = co_await exchange.read_all(16 << 20);
  HttpHeaders headers;
  headers.add("X-Method", std::string(exchange.method()));
  headers.add("X-Given", std::string(exchange.header("X-Given")));
  headers.add("X-Length", exchange.content_length() ? std::to_string(*exchange.content_length()) : "chunked");
  co_await exchange.respond(exchange.path() == "/teapot" ? 418 : 200, headers, body);
}

std::string at(const HttpServer& server, std::string_view path) {
  return "http://" + server.authority() + std::string(path);
}

TEST(HttpClient, SendsAndReceives) {
  HttpServer server(on_free_port(), mirror);
  const HttpClient client;
  const HttpResponse response = client.send({.method = "POST",
                                             .url = at(server, "/x"),
                                             .headers = {{"X-Given", "1"}},
                                             .body = HttpBody::of_text("hello")});
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, "hello");
  EXPECT_EQ(response.headers.get("x-given"), "1");
  EXPECT_EQ(client.get(at(server, "/teapot")).status, 418);
  const HttpResponse head = client.send({.method = "HEAD", .url = at(server, "/")});
  EXPECT_EQ(head.headers.get("X-Method"), "HEAD");
  const HttpResponse empty = client.send({.method = "PUT", .url = at(server, "/")});
  EXPECT_EQ(empty.headers.get("X-Length"), "0");
}

TEST(HttpClient, StreamsBothWays) {
  HttpServer server(on_free_port(), mirror);
  TempDir dir;
  std::string content(5 << 20, 'a');
  for (size_t i = 0; i < content.size(); i += 97) content[i] = static_cast<char>('a' + i % 26);
  write_file(dir.path() / "f", content);
  const UniqueFd fd = open_file(dir.path() / "f", O_RDONLY);
  const HttpClient client;
  std::string received;
  uint64_t uploaded = 0;
  const HttpRequest request{.method = "PUT",
                            .url = at(server, "/"),
                            .body = HttpBody::of_file(fd.get(), 10, content.size() - 10),
                            .on_upload = [&](uint64_t sent) { uploaded = sent; }};
  const HttpResponse response =
      client.send(request, [&](const HttpResponse&, std::string_view bytes) { received += bytes; });
  EXPECT_TRUE(response.body.empty());
  EXPECT_EQ(received, content.substr(10));
  EXPECT_EQ(uploaded, content.size() - 10);

  HttpRequest chunked{.method = "PATCH", .url = at(server, "/")};
  int pieces = 3;
  chunked.body.source = [&](char* buffer, size_t) -> size_t {
    if (pieces-- == 0) return 0;
    *buffer = 'z';
    return 1;
  };
  const HttpResponse answer = client.send(chunked);
  EXPECT_EQ(answer.body, "zzz");
  EXPECT_EQ(answer.headers.get("X-Length"), "chunked");
}

TEST(HttpClient, KeepsConnections) {
  std::mutex mutex;
  std::set<std::string> peers;
  HttpServer server(on_free_port(), [&](HttpExchange& exchange) -> Awaitable<void> {
    {
      std::lock_guard lock(mutex);
      peers.insert(exchange.remote_address());
    }
    co_await exchange.respond(200, {}, "");
  });
  const HttpClient client;
  for (int i = 0; i < 5; ++i) client.get(at(server, "/"));
  std::thread([&] { client.get(at(server, "/")); }).join();
  EXPECT_EQ(peers.size(), 1u);
}

TEST(HttpClient, ASinkMayRefuse) {
  HttpServer server(on_free_port(), mirror);
  const HttpClient client;
  EXPECT_THROW(
      client.send({.method = "PUT", .url = at(server, "/"), .body = HttpBody::of_text("x")},
                  [](const HttpResponse&, std::string_view) { throw Error(ErrorKind::Invalid, "too much"); }),
      Error);
  HttpClient::Options small;
  small.body_limit = 3;
  EXPECT_THROW(
      HttpClient(small).send({.method = "PUT", .url = at(server, "/"), .body = HttpBody::of_text("four")}),
      Error);
}

TEST(HttpClient, NamesTheHostThatDoesNotAnswer) {
  const ClosedPort closed;
  const std::string port = std::to_string(closed.number());
  try {
    HttpClient().get("http://127.0.0.1:" + port + "/");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Unavailable);
    EXPECT_THAT(error.message(), HasSubstr("127.0.0.1:" + port + " did not answer"));
    EXPECT_THAT(error.hint(), HasSubstr("listens"));
  }
  EXPECT_THROW(HttpClient().get("file:///etc/passwd"), Error);
  EXPECT_THROW(HttpClient().get("http://user:secret@host/"), Error);
}

TEST(HttpClient, StopsWhenAsked) {
  std::promise<void> entered, leave;
  auto left = leave.get_future().share();
  HttpServer server(on_free_port(), [&](HttpExchange& exchange) -> Awaitable<void> {
    entered.set_value();
    co_await exchange.on_pool([&] { left.wait(); });
    co_await exchange.respond(200, {}, "");
  });
  std::stop_source stop;
  auto result = std::async(std::launch::async, [&] {
    try {
      HttpClient().get(at(server, "/"), stop.get_token());
    } catch (const Error& error) {
      return error.kind();
    }
    return ErrorKind::Failed;
  });
  entered.get_future().wait();
  stop.request_stop();
  EXPECT_EQ(result.get(), ErrorKind::Cancelled);
  leave.set_value();
}

TEST(HttpClient, KeepsToPublicAddressesWhenTold) {
  HttpServer server(on_free_port(), mirror);
  try {
    HttpClient().send(
        {.url = "http://localhost:" + std::to_string(server.port()) + "/", .public_only = true});
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.message(), HasSubstr("refusing"));
  }
}

TEST(Url, ParsesAndResolves) {
  const auto url = Url::parse("HTTPS://Ex.org:8443/a/b?c=d#e");
  ASSERT_TRUE(url);
  EXPECT_EQ(url->text(), "https://ex.org:8443/a/b?c=d");
  EXPECT_EQ(url->resolve("/x")->text(), "https://ex.org:8443/x");
  EXPECT_EQ(url->resolve("c?y=http://z/")->text(), "https://ex.org:8443/a/c?y=http://z/");
  EXPECT_EQ(url->resolve("//o.org/x")->text(), "https://o.org/x");
  EXPECT_EQ(url->resolve("http://o.org")->text(), "http://o.org/");
  EXPECT_EQ(Url::parse("http://[::1]:5000/")->host, "::1");
  for (const char* bad : {"", "x", "ftp://a/", "http://", "http://a b/", "http://u@h/", "http://h:0/",
                          "http://h:99999/", "http://[::1/", "http://h\r\nX: y/"})
    EXPECT_FALSE(Url::parse(bad)) << bad;
}

TEST(Addresses, KnowsWhatIsNotPublic) {
  for (const char* address :
       {"localhost", "127.0.0.1", "127.1", "0x7f000001", "10.1.2.3", "172.16.0.1", "192.168.1.1",
        "169.254.169.254", "100.64.0.1", "0.0.0.0", "::1", "::ffff:10.0.0.1", "fe80::1", "fd00::1"})
    EXPECT_TRUE(is_private_address(address)) << address;
  for (const char* address : {"8.8.8.8", "172.32.0.1", "example.org", "2606:4700::1", "100.128.0.1"})
    EXPECT_FALSE(is_private_address(address)) << address;
}

TEST(Percent, EncodesAndDecodes) {
  EXPECT_EQ(percent_encode("a b/ü", "/"), "a%20b/%C3%BC");
  EXPECT_EQ(percent_decode("a%20b+%zz%4"), "a b+%zz%4");
  EXPECT_EQ(parse_query("a=1&b&c=x+y%26&a=2"), (std::vector<std::pair<std::string, std::string>>{
                                                   {"a", "1"}, {"b", ""}, {"c", "x y&"}, {"a", "2"}}));
}

}  // namespace
}  // namespace kiln
