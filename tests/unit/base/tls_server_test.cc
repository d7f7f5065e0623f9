#include "base/tls_server.h"

#include <boost/asio/connect.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include "base/error.h"
#include "base/http_client.h"
#include "base/http_server.h"
#include "tests/unit/base/test_certificate.h"

namespace kiln {
namespace {

using asio::ip::tcp;
using testing::HasSubstr;
using testing::Not;

Awaitable<void> echo(HttpExchange& exchange) {
  const std::string body = co_await exchange.read_all(64u << 20);
  HttpHeaders headers;
  headers.add("Secure", exchange.is_secure() ? "yes" : "no");
  co_await exchange.respond(200, std::move(headers), body);
}

class TlsServer : public testing::Test {
 protected:
  HttpServer::Options options() {
    HttpServer::Options options;
    options.port = 0;
    options.tls_certificate = one_.certificate;
    options.tls_key = one_.key;
    return options;
  }
  HttpClient trusting(const TestCertificate& certificate) {
    HttpClient::Options options;
    options.tls.ca_file = certificate.certificate;
    return HttpClient(options);
  }
  // A client of bytes, over TLS.
  struct Raw {
    explicit Raw(uint16_t port) : stream(io, context) {
      stream.next_layer().connect(tcp::endpoint(asio::ip::make_address("127.0.0.1"), port));
    }
    std::string read_to_end() {
      std::string text;
      boost::system::error_code error;
      asio::read(stream, asio::dynamic_buffer(text), error);
      return text;
    }
    asio::io_context io;
    asio::ssl::context context{asio::ssl::context::tls_client};
    asio::ssl::stream<tcp::socket> stream;
  };
  static std::string problem(const fs::path& certificate, const fs::path& key) {
    try {
      detail::TlsCertificate(certificate, key);
    } catch (const Error& error) {
      return error.full() + " (" + error.hint() + ")";
    }
    return "none";
  }

  TempDir dir_;
  TestCertificate one_{dir_.path(), "one"}, two_{dir_.path(), "two"};
};

TEST_F(TlsServer, AnswersOverTls) {
  HttpServer server(options(), echo);
  const HttpClient client = trusting(one_);
  for (int i = 0; i < 3; ++i) {
    const auto response = client.send(
        {.method = "POST", .url = "https://" + server.authority() + "/", .body = HttpBody::of_text("hello")});
    EXPECT_EQ(response.body, "hello");
    EXPECT_EQ(response.headers.get("Secure"), "yes");
  }
  EXPECT_THROW(trusting(two_).get("https://" + server.authority() + "/"), Error) << "another's certificate";
}

TEST_F(TlsServer, LargeBodiesGoBothWays) {
  HttpServer server(options(), echo);
  std::string large(20u << 20, '\0');
  for (size_t i = 0; i < large.size(); i += 4096) large[i] = static_cast<char>(i >> 12);
  std::string received;
  trusting(one_).send(
      {.method = "POST", .url = "https://" + server.authority() + "/", .body = HttpBody::of_text(large)},
      [&](const HttpResponse&, std::string_view bytes) { received += bytes; });
  EXPECT_TRUE(received == large);
}

TEST_F(TlsServer, SendsFiles) {
  std::string content(3u << 20, 'x');
  content += "end";
  write_file(dir_.path() / "file", content);
  HttpServer server(options(), [&](HttpExchange& exchange) -> Awaitable<void> {
    const UniqueFd fd = open_file(dir_.path() / "file", O_RDONLY);
    co_await exchange.begin(200, {}, content.size() - 1);
    co_await exchange.send_file(fd.get(), 1, content.size() - 1);
    co_await exchange.finish();
  });
  EXPECT_TRUE(trusting(one_).get("https://" + server.authority() + "/").body == content.substr(1));
}

TEST_F(TlsServer, WhoSpeaksPlainHttpIsToldSo) {
  HttpServer server(options(), echo);
  const HttpResponse response = HttpClient().get("http://" + server.authority() + "/");
  EXPECT_EQ(response.status, 400);
  EXPECT_THAT(response.body, HasSubstr("this port speaks TLS: write https://"));
}

TEST_F(TlsServer, RefusesOldVersionsAndNoise) {
  HttpServer server(options(), echo);
  Raw old(server.port());
  ::SSL_set_max_proto_version(old.stream.native_handle(), TLS1_1_VERSION);
  ::SSL_set_security_level(old.stream.native_handle(), 0);
  boost::system::error_code error;
  old.stream.handshake(asio::ssl::stream_base::client, error);
  EXPECT_TRUE(error);
  for (const std::string_view noise : {std::string_view("\x16\x03garbage"), std::string_view("\0\0\0", 3)}) {
    Raw raw(server.port());
    asio::write(raw.stream.next_layer(), asio::buffer(noise));
    raw.stream.next_layer().shutdown(tcp::socket::shutdown_send, error);
    std::string answer;
    asio::read(raw.stream.next_layer(), asio::dynamic_buffer(answer), error);
    EXPECT_THAT(answer, Not(HasSubstr("HTTP")));
  }
  EXPECT_EQ(trusting(one_).get("https://" + server.authority() + "/").status, 200);
}

TEST_F(TlsServer, CutsWhoDoesNotFinishTheHandshake) {
  HttpServer::Options impatient = options();
  impatient.header_timeout = std::chrono::milliseconds(30);
  HttpServer server(impatient, echo);
  for (const std::string_view begun : {std::string_view(), std::string_view("\x16\x03\x01")}) {
    Raw raw(server.port());
    asio::write(raw.stream.next_layer(), asio::buffer(begun));
    std::string answer;
    boost::system::error_code error;
    asio::read(raw.stream.next_layer(), asio::dynamic_buffer(answer), error);
    EXPECT_TRUE(error);
  }
}

TEST_F(TlsServer, SaysWhenNothingMoreComes) {
  HttpServer server(options(), [](HttpExchange& exchange) -> Awaitable<void> {
    co_await exchange.begin(200, {});
    co_await exchange.write("until the end");
    co_await exchange.finish();
  });
  Raw raw(server.port());
  raw.stream.handshake(asio::ssl::stream_base::client);
  asio::write(raw.stream, asio::buffer(std::string_view("GET / HTTP/1.0\r\n\r\n")));
  std::string text;
  boost::system::error_code error;
  asio::read(raw.stream, asio::dynamic_buffer(text), error);
  EXPECT_EQ(error, asio::error::eof) << "and not cut off: " << error.message();
  EXPECT_THAT(text, testing::EndsWith("until the end"));
}

TEST_F(TlsServer, HandsAPlainSocketOverForUpgrades) {
  HttpServer server(options(), [](HttpExchange& exchange) -> Awaitable<void> {
    const std::string early = exchange.take_buffered();
    tcp::socket& socket = exchange.take_socket();
    const std::string head = "HTTP/1.1 101 Switching Protocols\r\n\r\n" + early;
    co_await asio::async_write(socket, asio::buffer(head), asio::use_awaitable);
    char buffer[64];
    const size_t count = co_await socket.async_read_some(asio::buffer(buffer), asio::use_awaitable);
    co_await asio::async_write(socket, asio::buffer(buffer, count), asio::use_awaitable);
  });
  Raw raw(server.port());
  raw.stream.handshake(asio::ssl::stream_base::client);
  asio::write(raw.stream, asio::buffer(std::string_view(
                              "GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: y\r\n\r\n")));
  std::string head;
  asio::read_until(raw.stream, asio::dynamic_buffer(head), "\r\n\r\n");
  EXPECT_THAT(head, HasSubstr("101"));
  asio::write(raw.stream, asio::buffer(std::string_view("ping")));
  EXPECT_EQ(raw.read_to_end(), "ping");
}

TEST_F(TlsServer, StopsWhileConnectionsAreOpen) {
  auto server = std::make_unique<HttpServer>(options(), echo);
  Raw idle(server->port()), shaken(server->port());
  shaken.stream.handshake(asio::ssl::stream_base::client);
  server.reset();
  EXPECT_EQ(shaken.read_to_end(), "");
}

TEST_F(TlsServer, ReadsItsFilesAgainWhenTheyChange) {
  detail::TlsCertificate certificate(one_.certificate, one_.key);
  const auto before = certificate.current();
  fs::copy_file(two_.key, one_.key, fs::copy_options::overwrite_existing);
  certificate.look_again();
  EXPECT_EQ(certificate.current(), before) << "half of a pair";
  fs::copy_file(two_.certificate, one_.certificate, fs::copy_options::overwrite_existing);
  certificate.look_again();
  EXPECT_NE(certificate.current(), before);
}

TEST_F(TlsServer, SaysWhatIsWrongWithItsFiles) {
  write_file(dir_.path() / "text", "no PEM at all");
  EXPECT_EQ(problem(one_.certificate, one_.key), "none");
  EXPECT_THAT(problem(one_.certificate, two_.key), HasSubstr("two.key is not the key of the certificate"));
  EXPECT_THAT(problem(dir_.path() / "text", one_.key), HasSubstr("text is not a certificate"));
  EXPECT_THAT(problem(one_.certificate, dir_.path() / "text"), HasSubstr("text is not a private key"));
  EXPECT_THAT(problem(one_.certificate, one_.locked), HasSubstr("one.locked is locked with a passphrase"));
  EXPECT_THAT(problem(one_.certificate, dir_.path() / "none"), HasSubstr("none"));
}

}  // namespace
}  // namespace kiln
