#include "serving/upstream.h"

#include <array>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <cstdio>

#include "base/error.h"
#include "base/text.h"

namespace kiln::serving {
namespace {

namespace http = boost::beast::http;
using boost::system::error_code;
using Socket = Instance::Socket;
using Parser = http::response_parser<http::buffer_body>;

constexpr size_t kPiece = 64 << 10;

// Fields that speak of one connection only (RFC 9110 section 7.6.1).
bool is_hop_by_hop(const HttpHeaders& headers, std::string_view name) {
  for (const char* hop : {"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization",
                          "TE", "Trailer", "Transfer-Encoding", "Upgrade", "Content-Length", "Expect"})
    if (iequals(name, hop)) return true;
  return headers.has_token("Connection", name);
}

std::string request_head(const HttpExchange& exchange, bool upgrade) {
  const HttpHeaders& headers = exchange.headers();
  std::string head;
  head.reserve(1024);
  head.append(exchange.method()).append(" ").append(exchange.target()).append(" HTTP/1.1\r\n");
  const auto add = [&](std::string_view name, std::string_view value) {
    head.append(name).append(": ").append(value).append("\r\n");
  };
  for (const auto& [name, value] : headers)
    if (!is_hop_by_hop(headers, name) && !iequals(name, "X-Forwarded-For") && !iequals(name, "X-Forwarded-Proto") &&
        !iequals(name, "X-Forwarded-Host") && !iequals(name, "Forwarded"))
      add(name, value);
  std::string client = exchange.remote_address();
  client.resize(std::min(client.size(), client.rfind(':')));
  const std::string earlier(exchange.header("X-Forwarded-For"));
  add("X-Forwarded-For", earlier.empty() ? client : earlier + ", " + client);
  add("X-Forwarded-Proto", "http");
  add("X-Forwarded-Host", exchange.header("Host"));
  const std::string forwarded(exchange.header("Forwarded"));
  const std::string node = client.find(':') == std::string::npos ? client : "\"[" + client + "]\"";
  add("Forwarded", (forwarded.empty() ? "" : forwarded + ", ") + "for=" + node + ";proto=http");
  if (upgrade) {
    add("Connection", "Upgrade");
    add("Upgrade", exchange.header("Upgrade"));
  }
  if (const auto length = exchange.content_length()) {
    if (*length > 0 || exchange.headers().has("Content-Length")) add("Content-Length", std::to_string(*length));
  } else {
    add("Transfer-Encoding", "chunked");
  }
  head += "\r\n";
  return head;
}

// Closes the socket when time is up, unless the request ended first.
class Deadline {
 public:
  Deadline(Socket& socket, Duration limit) : state_(std::make_shared<State>(&socket)), timer_(socket.get_executor()) {
    if (limit <= Duration{}) return;
    timer_.expires_after(limit);
    timer_.async_wait([state = state_](const error_code& cancelled) {
      if (cancelled || !state->socket) return;
      state->passed = true;
      error_code ignored;
      state->socket->close(ignored);
    });
  }
  ~Deadline() { stop(); }
  void stop() {
    state_->socket = nullptr;
    timer_.cancel();
  }
  bool passed() const { return state_->passed; }

 private:
  struct State {
    explicit State(Socket* s) : socket(s) {}
    Socket* socket;
    bool passed = false;
  };
  std::shared_ptr<State> state_;
  asio::steady_timer timer_;
};

Awaitable<void> send_body(HttpExchange& exchange, Socket& socket) {
  std::vector<char> buffer(kPiece);
  const bool chunked = !exchange.content_length();
  for (;;) {
    const size_t n = co_await exchange.read_some(buffer);
    if (n == 0) break;
    if (chunked) {
      char size[32];
      const int length = std::snprintf(size, sizeof size, "%zx\r\n", n);
      std::array<asio::const_buffer, 3> pieces{asio::buffer(size, static_cast<size_t>(length)), asio::buffer(buffer.data(), n),
                                               asio::buffer("\r\n", 2)};
      co_await asio::async_write(socket, pieces, asio::use_awaitable);
    } else {
      co_await asio::async_write(socket, asio::buffer(buffer.data(), n), asio::use_awaitable);
    }
  }
  if (chunked) co_await asio::async_write(socket, asio::buffer("0\r\n\r\n", 5), asio::use_awaitable);
}

HttpHeaders answer_headers(const Parser& parser) {
  HttpHeaders all, kept;
  for (const auto& field : parser.get()) all.add(std::string(field.name_string()), std::string(field.value()));
  for (const auto& [name, value] : all)
    if (!is_hop_by_hop(all, name) && !iequals(name, "Date")) kept.add(name, value);
  return kept;
}

Awaitable<void> relay(Socket& from, Socket& to) {
  std::vector<char> buffer(kPiece);
  error_code ended;
  for (;;) {
    const size_t n = co_await from.async_read_some(asio::buffer(buffer), asio::redirect_error(asio::use_awaitable, ended));
    if (ended) break;
    co_await asio::async_write(to, asio::buffer(buffer.data(), n), asio::redirect_error(asio::use_awaitable, ended));
    if (ended) break;
  }
  to.shutdown(Socket::shutdown_send, ended);
}

// After a 101: bytes both ways until both sides have finished.
Awaitable<void> tunnel(HttpExchange& exchange, Socket& upstream, const Parser& parser, std::string_view early) {
  std::string head = "HTTP/1.1 101 Switching Protocols\r\n";
  for (const auto& field : parser.get())
    head.append(field.name_string()).append(": ").append(field.value()).append("\r\n");
  head += "\r\n";
  head += early;
  const std::string from_client = exchange.take_buffered();
  Socket& client = exchange.take_socket();
  co_await asio::async_write(client, asio::buffer(head), asio::use_awaitable);
  co_await asio::async_write(upstream, asio::buffer(from_client), asio::use_awaitable);
  using namespace asio::experimental::awaitable_operators;
  co_await (relay(client, upstream) && relay(upstream, client));
}

}  // namespace

Awaitable<void> proxy(HttpExchange& exchange, Instance& instance, const ProxyOptions& options) {
  const bool has_body = !exchange.content_length() || *exchange.content_length() > 0;
  const bool upgrade = exchange.wants_upgrade();
  bool body_taken = false;
  std::exception_ptr failure;
  bool late = false;

  // A request whose body is gone cannot be sent again, so it gets a connection that is surely alive.
  Instance::Connection connection = co_await instance.connect(!has_body && !upgrade);
  Socket& socket = connection.socket;
  Deadline deadline(socket, options.response_start);
  boost::beast::flat_buffer buffer;
  std::optional<Parser> parser;
  try {
    const std::string head = request_head(exchange, upgrade);
    co_await asio::async_write(socket, asio::buffer(head), asio::use_awaitable);
    if (has_body) {
      body_taken = true;
      co_await send_body(exchange, socket);
    }
    do {  // interim answers (100, 103) are not passed on
      parser.emplace();
      parser->body_limit(boost::none);
      parser->header_limit(256 << 10);
      if (exchange.method() == "HEAD") parser->skip(true);
      co_await http::async_read_header(socket, buffer, *parser, asio::use_awaitable);
    } while (parser->get().result_int() / 100 == 1 && parser->get().result_int() != 101);
  } catch (const boost::system::system_error&) {
    late = deadline.passed();
    failure = std::current_exception();
  }
  deadline.stop();
  if (failure) {
    if (late) throw Error(ErrorKind::TimedOut, options.revision + " did not answer in time");
    if (!body_taken) throw InstanceGone();
    throw Error(ErrorKind::Failed, options.revision + " closed the connection without an answer");
  }

  const int status = static_cast<int>(parser->get().result_int());
  if (status == 101 && upgrade) {
    const std::string early(static_cast<const char*>(buffer.data().data()), buffer.size());
    co_await tunnel(exchange, socket, *parser, early);
    co_return;
  }
  std::optional<uint64_t> length;
  if (const auto stated = parser->content_length()) length = *stated;
  const bool bodiless = exchange.method() == "HEAD" || status == 204 || status == 304;
  if (bodiless && !length) length = 0;
  HttpHeaders headers = answer_headers(*parser);
  co_await exchange.begin(status, std::move(headers), length);
  std::vector<char> piece(kPiece);
  while (!parser->is_done()) {
    parser->get().body().data = piece.data();
    parser->get().body().size = piece.size();
    parser->get().body().more = true;
    error_code error;
    co_await http::async_read_some(socket, buffer, *parser, asio::redirect_error(asio::use_awaitable, error));
    if (error && error != http::error::need_buffer)
      throw Error(ErrorKind::Failed, options.revision + " broke its answer off");
    const size_t n = piece.size() - parser->get().body().size;
    if (n > 0) co_await exchange.write(std::string_view(piece.data(), n));
  }
  co_await exchange.finish();
  if (parser->keep_alive() && buffer.size() == 0) instance.keep(std::move(socket));
}

}  // namespace kiln::serving
