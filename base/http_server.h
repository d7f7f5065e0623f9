#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/clock.h"
#include "base/http.h"

namespace kiln {

namespace asio = boost::asio;

template <class Result>
using Awaitable = asio::awaitable<Result>;

namespace detail {
template <class Function>
Awaitable<std::invoke_result_t<Function&>> call_on_this_executor(Function function) {
  co_return function();
}
template <class Function>
Awaitable<std::invoke_result_t<Function&>> call_on_pool(asio::thread_pool& pool, Function function) {
  co_return co_await asio::co_spawn(pool.get_executor(), call_on_this_executor(std::move(function)),
                                    asio::use_awaitable);
}
}  // namespace detail

// Runs a blocking function on `pool` and comes back to the caller's executor with its result or exception.
// What the function refers to must live until then (locals of the awaiting coroutine do).
template <class Function>
Awaitable<std::invoke_result_t<std::decay_t<Function>&>> on_pool(asio::thread_pool& pool,
                                                                 Function&& function) {
  static_assert(std::is_lvalue_reference_v<Function> || std::is_trivially_destructible_v<Function>,
                "GCC 12 destroys a closure written inside a co_await expression twice: capture by reference, "
                "or name the closure in a variable first and pass that");
  return detail::call_on_pool<std::decay_t<Function>>(pool, std::forward<Function>(function));
}

// One request and its answer (HTTP/1.1, RFC 9112). Lives while the handler runs. All of it belongs to the
// connection's executor: the handler may start more coroutines there (co_await asio::this_coro::executor),
// but must not touch the exchange from other threads.
//
// Reading and writing throw boost::system::system_error when the client has gone or was too slow; handlers
// let that pass, the server closes the connection and says nothing.
class HttpExchange {
 public:
  virtual ~HttpExchange() = default;

  // The request. Views live as long as the exchange.
  virtual std::string_view method() const = 0;
  virtual std::string_view target() const = 0;                          // as it came: "/v2/a/tags/list?n=2"
  std::string_view path() const;                                        // before '?', still percent-encoded
  std::string_view query() const;                                       // after '?'
  std::optional<std::string> query_value(std::string_view name) const;  // decoded; the first
  std::vector<std::string> query_values(std::string_view name) const;
  virtual const HttpHeaders& headers() const = 0;
  std::string_view header(std::string_view name) const { return headers().get(name); }
  std::string_view host() const;                               // of the Host header, without port; as written
  virtual std::string remote_address() const = 0;              // "127.0.0.1:53122"
  virtual bool is_secure() const { return false; }             // came over TLS
  virtual int http_minor() const = 0;                          // 0 or 1 of HTTP/1.x
  virtual std::optional<uint64_t> content_length() const = 0;  // nullopt: chunked
  bool wants_upgrade() const { return headers().has_token("Connection", "upgrade"); }

  // The body. The first read answers "Expect: 100-continue". Returns 0 at the end.
  virtual Awaitable<size_t> read_some(std::span<char> buffer) = 0;
  // All of it; a longer one throws Invalid, which becomes 413 unless the handler catches it.
  virtual Awaitable<std::string> read_all(size_t limit = 1u << 20) = 0;

  // The answer, once: respond(), or begin() write()* finish(). For HEAD (and 204, 304) bodies are swallowed
  // and Content-Length stays. `Content-Length`, `Transfer-Encoding`, `Connection` and `Date` are the
  // server's.
  virtual Awaitable<void> respond(int status, HttpHeaders headers, std::string_view body) = 0;
  virtual Awaitable<void> begin(int status, HttpHeaders headers, std::optional<uint64_t> length = {}) = 0;
  virtual Awaitable<void> write(std::string_view bytes) = 0;
  // Part of the body straight from a file (sendfile); only after begin() with a length.
  virtual Awaitable<void> send_file(int fd, uint64_t offset, uint64_t length) = 0;
  virtual Awaitable<void> finish() = 0;
  virtual bool started() const = 0;  // something was sent

  // A JSON body with its type.
  Awaitable<void> respond_json(int status, std::string_view json);

  // The connection from here on, for upgrades: the handler reads and writes the socket itself, sends the 101
  // too, and the connection closes when the handler returns. No time limits apply any more. What the server
  // had already read beyond the request is in take_buffered(). Over TLS it is a socket whose other end passes
  // everything on.
  virtual asio::ip::tcp::socket& take_socket() = 0;
  virtual std::string take_buffered() = 0;

  virtual asio::thread_pool& pool() = 0;
  template <class Function>
  Awaitable<std::invoke_result_t<std::decay_t<Function>&>> on_pool(Function&& function) {
    return kiln::on_pool(pool(), std::forward<Function>(function));
  }
};

// Must not block: blocking work goes through on_pool. (Two rules for writing coroutines while GCC 12 counts:
// no braced lists and no closures with captures by value inside a co_await expression, and no co_await inside
// `&&`, `||` or a loop's condition. It miscompiles all three.)
// What a handler throws before it answered becomes an
// error answer: kiln::Error by its kind (Invalid 400, NotFound 404, Unavailable 503, …), anything else 500,
// as JSON {"error":{"message","hint"}}; afterwards the connection is cut, so that the client notices.
using HttpHandler = std::function<Awaitable<void>(HttpExchange&)>;

// An HTTP/1.1 server: one io_context run by a few threads, each connection one coroutine. It listens when the
// constructor returns. Thread-safe.
class HttpServer {
 public:
  struct Options {
    std::string address = "127.0.0.1";  // literal IPv4 or IPv6, or "localhost"
    uint16_t port = 8080;               // 0: a free one
    int threads = 1;
    int pool_threads = 8;  // for on_pool
    // TLS (1.2 and later) instead of plain HTTP: PEM files, the certificate with those that lead to its root.
    // Read anew when they change, for new connections; what is wrong with them then is logged, and the old
    // ones stay. Wrong at the start throws Invalid.
    std::filesystem::path tls_certificate, tls_key;
    size_t header_limit = 64u << 10;
    size_t max_connections = 16384;                      // beyond, new ones are closed at once
    Duration header_timeout = std::chrono::seconds(10);  // whole request head, from its first byte
    Duration idle_timeout = std::chrono::seconds(75);    // between requests
    Duration stall_timeout = std::chrono::seconds(60);   // one read or write of a body
  };

  // Throws Infrastructure when the address cannot be listened on; a port in use says so and what to do.
  HttpServer(Options options, HttpHandler handler);
  ~HttpServer();  // stop()

  uint16_t port() const;
  std::string authority() const;  // "127.0.0.1:8080", for URLs
  asio::io_context& io();         // other coroutines may live here too
  asio::thread_pool& pool();

  // Closes the listening socket and idle connections at once, lets requests under way finish for up to
  // `drain`, cuts what is left, and returns when all threads have ended. The second call does nothing.
  void stop(Duration drain = std::chrono::seconds(5));

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// "127.0.0.1:0", ":8080", "[::1]:8080", "8080" → address and port; throws Usage.
std::pair<std::string, uint16_t> parse_listen_address(std::string_view text);

}  // namespace kiln
