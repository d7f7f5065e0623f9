// What probes ask, and which answers are good.
#include "steps/ask_probe.h"

#include <arpa/inet.h>
#include <functional>
#include <gmock/gmock.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

#include "steps/grpc_health.h"
#include "tests/unit/base/closed_port.h"

namespace kiln::steps {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

// A sandbox that only can be dialled, into this very network.
class HereSandbox final : public Sandbox {
 public:
  ExitStatus wait() override { return {}; }
  int exit_fd() const override { return -1; }
  void signal(int) override {}
  void kill() override {}
  UniqueFd dial_socket() override {
    return UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  }
  std::optional<int> exec(const std::vector<std::string>&, std::chrono::nanoseconds) override { return 0; }
};

// Handles one connection after the other on a free port of this machine.
class Server {
 public:
  explicit Server(std::function<void(int fd)> handler) : listener_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    ::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), size);
    ::listen(listener_.get(), 16);
    ::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size);
    port = ntohs(address.sin_port);
    thread_ = std::jthread([this, handler = std::move(handler)] {
      for (;;) {
        const UniqueFd client(::accept(listener_.get(), nullptr, nullptr));
        if (!client) return;
        handler(client.get());
      }
    });
  }
  ~Server() { ::shutdown(listener_.get(), SHUT_RDWR); }
  uint16_t port = 0;

 private:
  UniqueFd listener_;
  std::jthread thread_;
};

std::string read_until(int fd, std::string_view end) {
  std::string text;
  char c;
  while (!text.ends_with(end) && ::read(fd, &c, 1) == 1) text += c;
  return text;
}
void write_text(int fd, std::string_view text) {
  EXPECT_EQ(::send(fd, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
}

class AskProbe : public testing::Test {
 protected:
  std::string ask_it(Probe probe, const std::stop_token& stop = {}) {
    probe.timeout = 20s;
    return ask(
        probe, sandbox, [](Sandbox& one) { return one.dial_socket(); }, stop);
  }
  HereSandbox sandbox;
};

TEST_F(AskProbe, HttpSendsThePathAndHeadersAsTheyAre) {
  std::string seen;
  Server server([&](int fd) {
    seen = read_until(fd, "\r\n\r\n");
    write_text(fd, "HTTP/1.1 200 fine\r\nContent-Length: 0\r\n\r\n");
  });
  EXPECT_EQ(ask_it({.kind = Probe::Kind::HttpGet,
                    .port = server.port,
                    .path = "/a/../b c?x=1",
                    .headers = {{"Host", "my.example"}, {"X-Empty", ""}}}),
            "");
  EXPECT_THAT(seen, AllOf(StartsWith("GET /a/../b%20c?x=1 HTTP/1.1\r\n"), HasSubstr("Host: my.example\r\n"),
                          HasSubstr("X-Empty:\r\n"), HasSubstr("User-Agent: kube-probe/kiln\r\n")));
}

TEST_F(AskProbe, HttpFollowsRedirectsOnItsOwnHostOnly) {
  Server server([&](int fd) {
    const std::string request = read_until(fd, "\r\n\r\n");
    if (request.starts_with("GET /here"))
      write_text(fd, "HTTP/1.1 302 x\r\nLocation: /bad\r\nContent-Length: 0\r\n\r\n");
    else if (request.starts_with("GET /away"))
      write_text(fd, "HTTP/1.1 302 x\r\nLocation: http://away.example/bad\r\nContent-Length: 0\r\n\r\n");
    else if (request.starts_with("GET /round"))
      write_text(fd, "HTTP/1.1 302 x\r\nLocation: /round\r\nContent-Length: 0\r\n\r\n");
    else
      write_text(fd, "HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n");
  });
  const auto get = [&](const char* path) {
    return ask_it({.kind = Probe::Kind::HttpGet, .port = server.port, .path = path});
  };
  EXPECT_THAT(get("/here"), HasSubstr("status 503"));
  EXPECT_EQ(get("/away"), "");
  EXPECT_THAT(get("/round"), HasSubstr("more than 10 times"));
}

TEST_F(AskProbe, AnotherHostIsAskedByThisMachine) {
  Server server([](int) {});
  EXPECT_EQ(ask_it({.kind = Probe::Kind::TcpSocket, .port = server.port, .host = "127.0.0.1"}), "");
  const ClosedPort closed;
  const std::string refused = "port " + std::to_string(closed.number()) + ": Connection refused";
  EXPECT_THAT(ask_it({.kind = Probe::Kind::TcpSocket, .port = closed.number(), .host = "127.0.0.1"}),
              HasSubstr("127.0.0.1 " + refused));
  EXPECT_EQ(ask_it({.kind = Probe::Kind::TcpSocket, .port = closed.number()}), refused);
}

TEST_F(AskProbe, AStopEndsTheWaitForAnAnswer) {
  std::stop_source stop;
  Server server([&](int fd) {
    read_until(fd, "\r\n\r\n");
    stop.request_stop();
    read_until(fd, "never");  // until the probe hangs up
  });
  EXPECT_NE(ask_it({.kind = Probe::Kind::HttpGet, .port = server.port}, stop.get_token()), "");
}

// A certificate that nobody has signed.
std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> self_signed() {
  std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(EVP_EC_gen("P-256"), EVP_PKEY_free);
  std::unique_ptr<X509, decltype(&X509_free)> certificate(X509_new(), X509_free);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), 0);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600);
  X509_set_pubkey(certificate.get(), key.get());
  X509_sign(certificate.get(), key.get(), EVP_sha256());
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  SSL_CTX_use_certificate(context.get(), certificate.get());
  SSL_CTX_use_PrivateKey(context.get(), key.get());
  return context;
}

TEST_F(AskProbe, HttpsTakesAnyCertificate) {
  const auto context = self_signed();
  Server server([&](int fd) {
    const std::unique_ptr<SSL, decltype(&SSL_free)> tls(SSL_new(context.get()), SSL_free);
    SSL_set_fd(tls.get(), fd);
    if (SSL_accept(tls.get()) != 1) return;
    char request[1024];
    const int n = SSL_read(tls.get(), request, sizeof request);
    const std::string answer =
        n > 0 && std::string_view(request, static_cast<size_t>(n)).starts_with("GET /up ")
            ? "HTTP/1.1 200 x\r\nContent-Length: 0\r\n\r\n"
            : "HTTP/1.1 404 x\r\nContent-Length: 0\r\n\r\n";
    SSL_write(tls.get(), answer.data(), static_cast<int>(answer.size()));
    SSL_shutdown(tls.get());
  });
  Probe probe{.kind = Probe::Kind::HttpGet, .port = server.port, .path = "/up", .https = true};
  EXPECT_EQ(ask_it(probe), "");
  probe.path = "/down";
  EXPECT_THAT(ask_it(probe), HasSubstr("status 404"));
  probe.https = false;
  EXPECT_NE(ask_it(probe), "");
}

// RFC 9113: length, type, flags, stream.
std::string frame(uint8_t type, uint8_t flags, uint8_t stream, const std::string& payload) {
  std::string out{static_cast<char>(payload.size() >> 16),
                  static_cast<char>(payload.size() >> 8),
                  static_cast<char>(payload.size()),
                  static_cast<char>(type),
                  static_cast<char>(flags),
                  0,
                  0,
                  0,
                  static_cast<char>(stream)};
  return out + payload;
}

// RFC 7541: a header field that is written out and not indexed.
std::string field(const std::string& name, const std::string& value) {
  return std::string(1, '\0') + static_cast<char>(name.size()) + name + static_cast<char>(value.size()) +
         value;
}

// Answers a gRPC call with one message; what it was sent is in `seen`.
void answer_grpc(int fd, const std::string& status, const std::string& message, std::string& seen) {
  read_until(fd, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  write_text(fd, frame(4, 0, 0, ""));  // SETTINGS
  for (bool ended = false; !ended;) {
    unsigned char head[9];
    if (::recv(fd, head, sizeof head, MSG_WAITALL) != sizeof head) return;
    std::string payload(static_cast<size_t>(head[0]) << 16 | static_cast<size_t>(head[1]) << 8 | head[2],
                        '\0');
    if (!payload.empty()) ::recv(fd, payload.data(), payload.size(), MSG_WAITALL);
    if (head[3] == 4 && !(head[4] & 1)) write_text(fd, frame(4, 1, 0, ""));
    if (head[3] == 0) seen += payload;
    ended = head[3] == 0 && head[4] & 1;
  }
  write_text(fd, frame(1, 4, 1, field(":status", "200") + field("content-type", "application/grpc")));
  if (!message.empty()) write_text(fd, frame(0, 0, 1, message));
  write_text(fd, frame(1, 5, 1, field("grpc-status", status) + field("grpc-message", "so%20it%20is")));
  read_until(fd, "never");
}

TEST_F(AskProbe, GrpcAsksForTheHealthOfAService) {
  std::string status, message, seen;
  Server server([&](int fd) { answer_grpc(fd, status, message, seen); });
  const auto answer = [&](const std::string& code, const std::string& bytes) {
    status = code;
    message = bytes;
    seen.clear();
    return ask_it({.kind = Probe::Kind::Grpc, .port = server.port, .service = "db"});
  };
  const std::string prefix("\0\0\0\0\2", 5);
  EXPECT_EQ(answer("0", prefix + "\x08\x01"), "");
  EXPECT_EQ(seen, std::string("\0\0\0\0\4\x0a\2db", 9));
  EXPECT_THAT(answer("0", prefix + "\x08\x02"), HasSubstr("NOT_SERVING"));
  EXPECT_THAT(answer("12", ""), HasSubstr("has no grpc.health.v1.Health"));
  EXPECT_THAT(answer("13", ""), HasSubstr("gRPC status 13 so it is"));
}

TEST_F(AskProbe, GrpcOfAnotherServerIsNoAnswer) {
  Server server([](int fd) { write_text(fd, "HTTP/1.1 400 x\r\n\r\n"); });
  EXPECT_NE(ask_it({.kind = Probe::Kind::Grpc, .port = server.port}), "");
}

TEST(GrpcHealth, OddMessagesAreNoHealth) {
  const std::vector<std::string> ok{"HTTP/2 200", "grpc-status: 0"};
  const std::string prefix(5, '\0');
  EXPECT_EQ(health_problem(200, ok, prefix + "\x12\x01x\x08\x01"), "")
      << "fields of later versions are skipped";
  EXPECT_THAT(health_problem(200, ok, prefix), HasSubstr("UNKNOWN"));
  for (const std::string& odd :
       {std::string(), std::string("\1\0\0\0\0\x08\x01", 7), prefix + "\x08", prefix + "\x08\x07",
        prefix + "\x12\x7fx", prefix + "\x0d\x01\x01\x01\x01", prefix + std::string(20, '\xff')})
    EXPECT_THAT(health_problem(200, ok, odd), HasSubstr("no HealthCheckResponse"));
  EXPECT_THAT(health_problem(200, {}, ""), HasSubstr("no gRPC"));
  EXPECT_THAT(health_problem(404, {}, ""), HasSubstr("404"));
}

}  // namespace
}  // namespace kiln::steps
