#include "base/http_server.h"

#include <atomic>
#include <boost/asio/write.hpp>
#include <fcntl.h>
#include <future>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "base/error.h"
#include "base/fs.h"
#include "tests/unit/base/closed_port.h"
#include "tests/unit/base/raw_client.h"

namespace kiln {
namespace {

using asio::ip::tcp;
using testing::HasSubstr;
using testing::Not;

HttpServer::Options on_free_port() {
  HttpServer::Options options;
  options.port = 0;
  options.threads = 2;
  options.pool_threads = 2;
  return options;
}

Awaitable<void> echo(HttpExchange& exchange) {
  const std::string body = co_await exchange.read_all(1 << 20);
  std::string text = std::string(exchange.method()) + " " + std::string(exchange.target()) + " " + body;
  co_await exchange.respond(200, HttpHeaders().with("Content-Type", "text/plain"), text);
}

std::string ask(HttpServer& server, std::string_view request) {
  RawClient client(server.port());
  client.send(request);
  return client.read_to_end();
}

TEST(HttpServer, TakesATargetInAbsoluteForm) {
  HttpServer server(on_free_port(), [](HttpExchange& exchange) -> Awaitable<void> {
    std::string text = std::string(exchange.host()) + " " + std::string(exchange.target());
    co_await exchange.respond(200, HttpHeaders(), text);
  });
  const auto get = [&](const std::string& target) {
    return ask(server, "GET " + target + " HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n");
  };
  EXPECT_THAT(get("http://localhost:8080/v2/?n=1"), HasSubstr("\r\n\r\nlocalhost /v2/?n=1"));
  EXPECT_THAT(get("HTTP://LocalHost"), HasSubstr("\r\n\r\nlocalhost /"));
  EXPECT_THAT(get("http://localhost?n=/v2/"), HasSubstr("\r\n\r\nlocalhost /"));
  EXPECT_THAT(get("/a?from=http://x/"), HasSubstr("\r\n\r\nother /a?from=http://x/"));
  for (const char* bad : {"http://", "ftp://x/", "http://user@x/", "http://x:99999/"})
    EXPECT_THAT(get(bad), HasSubstr("HTTP/1.1 400")) << bad;
}

TEST(HttpServer, AnswersAndKeepsTheConnection) {
  HttpServer server(on_free_port(), echo);
  RawClient client(server.port());
  for (int i = 0; i < 3; ++i) {
    client.send("POST /a?b=c HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
    const std::string head = client.read_until("\r\n\r\n");
    EXPECT_THAT(head, HasSubstr("HTTP/1.1 200 OK\r\n"));
    EXPECT_THAT(head, HasSubstr("Content-Length: 17\r\n"));
    EXPECT_EQ(client.read_until("hello"), "POST /a?b=c hello");
  }
}

TEST(HttpServer, ServesPipelinedRequestsInOrder) {
  HttpServer server(on_free_port(), echo);
  const std::string answer = ask(
      server, "GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_LT(answer.find("GET /1"), answer.find("GET /2"));
  EXPECT_NE(answer.find("GET /2"), std::string::npos);
}

TEST(HttpServer, ReadsChunkedBodies) {
  HttpServer server(on_free_port(), echo);
  EXPECT_THAT(ask(server,
                  "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
                  "3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\n\r\n"),
              HasSubstr("POST / abcdefg"));
}

TEST(HttpServer, HeadGetsTheLengthAndNoBody) {
  HttpServer server(on_free_port(), echo);
  const std::string answer = ask(server, "HEAD /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(answer, HasSubstr("Content-Length: 8\r\n"));
  EXPECT_TRUE(answer.ends_with("\r\n\r\n"));
}

TEST(HttpServer, SaysContinueOnlyWhenTheBodyIsRead) {
  HttpServer server(on_free_port(), [](HttpExchange& exchange) -> Awaitable<void> {
    if (exchange.path() == "/refuse")
      co_await exchange.respond(403, {}, "no");
    else
      co_await echo(exchange);
  });
  RawClient client(server.port());
  client.send("PUT /take HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(client.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.send("ok");
  EXPECT_THAT(client.read_until("take ok"), HasSubstr("200 OK"));
  client.send("PUT /refuse HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  const std::string refused = client.read_until("\r\n\r\n");
  EXPECT_THAT(refused, HasSubstr("403"));
  EXPECT_THAT(refused, HasSubstr("Connection: close"));
}

TEST(HttpServer, StreamsChunkedWhenTheLengthIsUnknown) {
  HttpServer server(on_free_port(), [](HttpExchange& exchange) -> Awaitable<void> {
    co_await exchange.begin(200, {});
    co_await exchange.write("one");
    co_await exchange.write("");
    co_await exchange.write("three");
    co_await exchange.finish();
  });
  EXPECT_TRUE(ask(server, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                  .ends_with("\r\n\r\n3\r\none\r\n5\r\nthree\r\n0\r\n\r\n"));
  const std::string old = ask(server, "GET / HTTP/1.0\r\n\r\n");
  EXPECT_TRUE(old.ends_with("\r\n\r\nonethree"));
  EXPECT_THAT(old, Not(HasSubstr("chunked")));
}

TEST(HttpServer, SendsPartsOfFiles) {
  TempDir dir;
  std::string content(3 << 20, 'x');
  content += "the end";
  write_file(dir.path() / "f", content);
  const UniqueFd fd = open_file(dir.path() / "f", O_RDONLY);
  HttpServer server(on_free_port(), [&](HttpExchange& exchange) -> Awaitable<void> {
    co_await exchange.begin(200, {}, content.size() - 10);
    co_await exchange.send_file(fd.get(), 10, content.size() - 10);
  });
  const std::string answer = ask(server, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(answer.substr(answer.find("\r\n\r\n") + 4), content.substr(10));
}

TEST(HttpServer, TurnsErrorsIntoAnswers) {
  HttpServer server(on_free_port(), [](HttpExchange& exchange) -> Awaitable<void> {
    if (exchange.path() == "/missing")
      throw Error(ErrorKind::NotFound, "no run \"x\"", "try `kiln runs list`");
    if (exchange.path() == "/std") throw std::runtime_error("oh");
    if (exchange.path() == "/big") co_await exchange.read_all(3);
    if (exchange.path() == "/late") {
      co_await exchange.begin(200, {}, 10);
      throw std::runtime_error("halfway");
    }
  });
  const std::string get = " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  const std::string missing = ask(server, "GET /missing" + get);
  EXPECT_THAT(missing, HasSubstr("404 Not Found"));
  EXPECT_THAT(missing, HasSubstr(R"({"error":{"hint":"try `kiln runs list`","message":"no run \"x\""}})"));
  EXPECT_THAT(ask(server, "GET /std" + get), HasSubstr("500 Internal"));
  EXPECT_THAT(ask(server, "GET /silent" + get), HasSubstr("was not answered"));
  EXPECT_THAT(ask(server, "POST /big HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nabcd"),
              HasSubstr("413 "));
  EXPECT_THAT(
      ask(server,
          "POST /big HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n"),
      HasSubstr("413 "));
  EXPECT_TRUE(ask(server, "GET /late" + get).ends_with("\r\n\r\n"));  // cut, not completed
}

TEST(HttpServer, RefusesWhatIsNotHttpOrAmbiguous) {
  HttpServer server(on_free_port(), echo);
  EXPECT_THAT(ask(server, "\x16\x03\x01 nonsense\r\n\r\n"), HasSubstr("400 Bad Request"));
  EXPECT_THAT(ask(server, "GET / HTTP/1.1\r\nHost: x\r\nA: " + std::string(100000, 'a') + "\r\n\r\n"),
              HasSubstr("431 "));
  EXPECT_THAT(ask(server, "GET / HTTP/1.1\r\n\r\n"), HasSubstr("400 "));
  const std::string smuggled = ask(server,
                                   "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n"
                                   "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n");
  EXPECT_THAT(smuggled, HasSubstr("400 "));
  EXPECT_THAT(smuggled, Not(HasSubstr("GET /x")));
  for (const std::string& framing :
       {std::string("1.1\r\nHost: x\r\nTransfer-Encoding: xchunked"),
        std::string("1.1\r\nHost: x\r\nTransfer-Encoding: identity"),
        std::string("1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity"),
        std::string("1.1\r\nHost: x\r\nTransfer-Encoding: chunked, chunked"),
        std::string("1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
        std::string("1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked")}) {
    const std::string answer =
        ask(server, "POST / HTTP/" + framing + "\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_THAT(answer, HasSubstr("HTTP/1.1 400 ")) << framing;
    EXPECT_THAT(answer, Not(HasSubstr("GET /x"))) << framing;
  }
}

TEST(HttpServer, HeadersCannotBeInjected) {
  HttpServer server(on_free_port(), [](HttpExchange& exchange) -> Awaitable<void> {
    co_await exchange.respond(200, HttpHeaders().with("X", "a\r\nEvil: 1").with("Y", "b"), "");
  });
  const std::string answer = ask(server, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(answer, Not(HasSubstr("Evil")));
  EXPECT_THAT(answer, HasSubstr("Y: b"));
}

TEST(HttpServer, CutsSlowAndIdleClients) {
  HttpServer::Options options = on_free_port();
  options.header_timeout = options.idle_timeout = std::chrono::milliseconds(30);
  HttpServer server(options, echo);
  RawClient idle(server.port()), slow(server.port());
  slow.send("GET / HTTP/1.1\r\nHo");
  EXPECT_EQ(idle.read_to_end(), "");  // returns because the server hung up
  EXPECT_EQ(slow.read_to_end(), "");
}

TEST(HttpServer, HandsTheSocketOverForUpgrades) {
  HttpServer server(on_free_port(), [](HttpExchange& exchange) -> Awaitable<void> {
    EXPECT_TRUE(exchange.wants_upgrade());
    tcp::socket& socket = exchange.take_socket();
    std::string bytes = "HTTP/1.1 101 Switching Protocols\r\n\r\n" + exchange.take_buffered();
    co_await asio::async_write(socket, asio::buffer(bytes), asio::use_awaitable);
  });
  EXPECT_TRUE(ask(server, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: w\r\n\r\nframe")
                  .ends_with("frame"));
}

TEST(HttpServer, BlockingWorkRunsOnThePool) {
  HttpServer server(on_free_port(), [](HttpExchange& exchange) -> Awaitable<void> {
    const auto loop = std::this_thread::get_id();
    std::string result = co_await exchange.on_pool(
        [loop] { return std::string(std::this_thread::get_id() == loop ? "loop" : "pool"); });
    try {
      co_await exchange.on_pool([]() -> int { throw Error(ErrorKind::Failed, "thrown there"); });
    } catch (const Error& error) {
      result += ", " + error.message();
    }
    co_await exchange.respond(200, {}, result);
  });
  EXPECT_THAT(ask(server, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
              HasSubstr("pool, thrown there"));
}

TEST(HttpServer, PortInUseSaysWhatToDo) {
  HttpServer first(on_free_port(), echo);
  HttpServer::Options options;
  options.port = first.port();
  try {
    HttpServer second(options, echo);
    FAIL() << "two servers on one port";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Infrastructure);
    EXPECT_THAT(error.message(), HasSubstr("127.0.0.1:" + std::to_string(first.port())));
    EXPECT_THAT(error.hint(), HasSubstr("--listen 127.0.0.1:0"));
  }
}

bool answers(uint16_t port) {
  try {
    RawClient client(port);
    return true;
  } catch (const boost::system::system_error&) {
    return false;
  }
}

TEST(HttpServer, StopLetsARequestFinish) {
  std::promise<void> entered, leave;
  auto wait = leave.get_future().share();
  const ClosedPort port;
  HttpServer::Options options = on_free_port();
  options.port = port.number();
  auto server = std::make_unique<HttpServer>(options, [&](HttpExchange& exchange) -> Awaitable<void> {
    entered.set_value();
    co_await exchange.on_pool([&] { wait.wait(); });
    co_await exchange.respond(200, {}, "done");
  });
  RawClient client(server->port());
  client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  entered.get_future().wait();
  std::thread stopper([&] { server->stop(std::chrono::seconds(30)); });
  while (answers(port.number())) {  // until the stop has begun
  }
  leave.set_value();
  const std::string answer = client.read_to_end();
  stopper.join();
  EXPECT_TRUE(answer.ends_with("done"));
}

TEST(HttpServer, StopCutsWhatDoesNotEnd) {
  std::promise<void> entered;
  auto server = std::make_unique<HttpServer>(on_free_port(), [&](HttpExchange& exchange) -> Awaitable<void> {
    co_await exchange.begin(200, {});
    entered.set_value();
    char byte;
    while (co_await exchange.read_some({&byte, 1}) > 0) {
    }
  });
  RawClient client(server->port());
  client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n");
  entered.get_future().wait();
  server->stop(std::chrono::milliseconds(1));
  client.read_to_end();
}

TEST(HttpServer, NobodyListensAfterStop) {
  const ClosedPort port;
  HttpServer::Options options = on_free_port();
  options.port = port.number();
  for (int i = 0; i < 20; ++i) {
    HttpServer server(options, echo);
    EXPECT_NO_THROW(RawClient client(port.number()));
    server.stop();
    EXPECT_THROW(RawClient client(port.number()), boost::system::system_error);
  }
}

TEST(HttpServer, ManyConnectionsAtOnce) {
  HttpServer server(on_free_port(), echo);
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i)
        good += ask(server, "GET /n HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").find("GET /n") !=
                std::string::npos;
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(good, 160);
}

TEST(ListenAddress, ReadsWhatPeopleWrite) {
  EXPECT_EQ(parse_listen_address("8080"), (std::pair<std::string, uint16_t>("127.0.0.1", 8080)));
  EXPECT_EQ(parse_listen_address(":0"), (std::pair<std::string, uint16_t>("127.0.0.1", 0)));
  EXPECT_EQ(parse_listen_address("[::1]:80"), (std::pair<std::string, uint16_t>("::1", 80)));
  for (const char* bad : {"", "a:b", "1.2.3.4:", "::1:80", "1.2.3.4:99999"})
    EXPECT_THROW(parse_listen_address(bad), Error) << bad;
}

}  // namespace
}  // namespace kiln
