#include "base/http_server.h"

#include <atomic>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <charconv>
#include <condition_variable>
#include <fcntl.h>
#include <list>
#include <mutex>
#include <sys/socket.h>
#include <thread>

#include "base/error.h"
#include "base/http_connection.h"
#include "base/text.h"
#include "base/tls_server.h"

namespace kiln {
namespace {

using asio::ip::tcp;
using boost::system::error_code;
constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);

tcp::acceptor listen_on(asio::io_context& io, const std::string& address, uint16_t port) {
  const std::string name = address == "localhost" ? "127.0.0.1" : address;
  error_code error;
  const auto ip = asio::ip::make_address(name, error);
  if (error)
    throw Error(ErrorKind::Usage, "`" + address + "` is not an address to listen on",
                "give an IP address and a port, e.g. --listen 127.0.0.1:8080");
  const std::string shown = (ip.is_v6() ? "[" + name + "]" : name) + ":" + std::to_string(port);
  tcp::acceptor acceptor(io);
  const tcp::endpoint endpoint(ip, port);
  acceptor.open(endpoint.protocol(), error);
  if (!error) {
    ::fcntl(acceptor.native_handle(), F_SETFD, FD_CLOEXEC);
    acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  }
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(1024, error);
  if (!error) acceptor.non_blocking(true, error);
  if (error == asio::error::address_in_use)
    throw Error(ErrorKind::Infrastructure, "cannot listen on " + shown + ": the port is already in use",
                "stop the program that uses it, or choose another: --listen 127.0.0.1:0 picks a free one");
  if (error == asio::error::access_denied)
    throw Error(ErrorKind::Infrastructure, "cannot listen on " + shown + ": not permitted",
                "ports below 1024 need root; --listen 127.0.0.1:0 picks a free one");
  if (error)
    throw Error(ErrorKind::Infrastructure, "cannot listen on " + shown + ": " + error.message(),
                "--listen 127.0.0.1:0 picks a free port of this machine");
  return acceptor;
}

}  // namespace

struct HttpServer::State {
  State(Options given, HttpHandler function)
      : options(std::move(given)),
        handler(std::move(function)),
        io(std::max(1, options.threads)),
        acceptor(listen_on(io, options.address, options.port)),
        sweep_timer(io),
        pool(static_cast<size_t>(std::max(1, options.pool_threads))) {
    if (!options.tls_certificate.empty()) tls.emplace(options.tls_certificate, options.tls_key);
    endpoint = acceptor.local_endpoint();
  }

  Awaitable<std::pair<error_code, tcp::socket>> accept(asio::any_io_executor executor);
  Awaitable<void> accept_loop();
  Awaitable<void> run_connection(tcp::socket socket);
  Awaitable<void> sweep_loop();
  void sweep();
  void cut_all(bool only_idle);

  const Options options;
  const HttpHandler handler;
  std::atomic<bool> stopping{false};
  std::mutex mutex;  // guards `watches` and the life of each watched descriptor
  std::condition_variable all_gone;
  std::list<detail::ConnectionWatch> watches;
  asio::io_context io;
  tcp::acceptor acceptor;
  asio::steady_timer sweep_timer;
  tcp::endpoint endpoint;
  asio::thread_pool pool;
  std::optional<detail::TlsCertificate> tls;
  std::vector<std::thread> threads;
};

// By accept4(2): with Asio's own, a program that is started at the same time would keep the connection open.
Awaitable<std::pair<error_code, tcp::socket>> HttpServer::State::accept(asio::any_io_executor executor) {
  tcp::socket socket(executor);
  for (;;) {
    auto [error] = co_await acceptor.async_wait(tcp::acceptor::wait_read, kAwait);
    if (error) co_return std::pair(error, std::move(socket));
    const int fd = ::accept4(acceptor.native_handle(), nullptr, nullptr, SOCK_CLOEXEC);
    if (fd >= 0) {
      socket.assign(endpoint.protocol(), fd, error);
      co_return std::pair(error, std::move(socket));
    }
    if (errno != EAGAIN && errno != EINTR)
      co_return std::pair(error_code(errno, asio::error::get_system_category()), std::move(socket));
  }
}

Awaitable<void> HttpServer::State::accept_loop() {
  while (!stopping) {
    asio::any_io_executor executor = io.get_executor();
    if (options.threads > 1) executor = asio::make_strand(io);
    auto [error, socket] = co_await accept(executor);
    if (stopping || error == asio::error::operation_aborted || error == asio::error::bad_descriptor)
      co_return;
    if (error) {
      // Out of descriptors, or the peer was gone before we looked: others may still be served.
      asio::steady_timer pause(io, std::chrono::milliseconds(20));
      co_await pause.async_wait(kAwait);
      continue;
    }
    {
      std::lock_guard lock(mutex);
      if (watches.size() >= options.max_connections) continue;
    }
    asio::co_spawn(executor, run_connection(std::move(socket)), asio::detached);
  }
}

Awaitable<void> HttpServer::State::run_connection(tcp::socket socket) {
  std::list<detail::ConnectionWatch>::iterator watch;
  {
    std::lock_guard lock(mutex);
    watch = watches.emplace(watches.end());
    watch->fd = socket.native_handle();
    watch->deadline_ns = INT64_MAX;
  }
  // Unregisters before the socket closes, so that the sweeper never meets a descriptor that is someone
  // else's.
  struct Registered {
    State& state;
    std::list<detail::ConnectionWatch>::iterator watch;
    ~Registered() {
      std::lock_guard lock(state.mutex);
      state.watches.erase(watch);
      if (state.watches.empty()) state.all_gone.notify_all();
    }
  };
  detail::HttpConnection connection(std::move(socket), tls ? tls->current() : nullptr, options, handler, pool,
                                    stopping, *watch);
  Registered registered{*this, watch};
  co_await connection.serve();
}

Awaitable<void> HttpServer::State::sweep_loop() {
  Duration shortest = std::min({options.header_timeout, options.idle_timeout, options.stall_timeout});
  const Duration period =
      std::clamp<Duration>(shortest / 4, std::chrono::milliseconds(5), std::chrono::seconds(1));
  for (;;) {  // time limits hold while the server drains, too; io.stop() ends it
    sweep_timer.expires_after(period);
    co_await sweep_timer.async_wait(asio::use_awaitable);
    sweep();
  }
}

void HttpServer::State::sweep() {
  const int64_t now = std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
  std::lock_guard lock(mutex);
  for (auto& watch : watches)
    if (watch.deadline_ns.load(std::memory_order_relaxed) < now) ::shutdown(watch.fd, SHUT_RDWR);
}

void HttpServer::State::cut_all(bool only_idle) {
  std::lock_guard lock(mutex);
  for (auto& watch : watches)
    if (!only_idle || watch.idle) ::shutdown(watch.fd, SHUT_RDWR);
}

HttpServer::HttpServer(Options options, HttpHandler handler)
    : state_(std::make_unique<State>(std::move(options), std::move(handler))) {
  asio::co_spawn(state_->io, state_->accept_loop(), asio::detached);
  asio::co_spawn(state_->io, state_->sweep_loop(), asio::detached);
  for (int i = 0; i < std::max(1, state_->options.threads); ++i)
    state_->threads.emplace_back([state = state_.get()] { state->io.run(); });
}

HttpServer::~HttpServer() {
  stop();
}

void HttpServer::stop(Duration drain) {
  State& state = *state_;
  if (state.threads.empty()) return;
  state.stopping = true;
  asio::post(state.io, [&state] {
    error_code ignored;
    state.acceptor.close(ignored);
  });
  state.cut_all(true);
  {
    const auto until = std::chrono::steady_clock::now() + drain;
    std::unique_lock lock(state.mutex);
    state.all_gone.wait_until(lock, until, [&] { return state.watches.empty(); });
  }
  state.cut_all(false);
  {
    // Those that were cut unwind by themselves; handlers that wait for something else are dropped below.
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(500);
    std::unique_lock lock(state.mutex);
    state.all_gone.wait_until(lock, until, [&] { return state.watches.empty(); });
  }
  state.io.stop();
  for (std::thread& thread : state.threads) thread.join();
  state.threads.clear();
  error_code ignored;
  state.acceptor.close(ignored);  // where there was nothing to wait for, the one posted above never ran
  state.pool.stop();
  state.pool.join();
}

uint16_t HttpServer::port() const {
  return state_->endpoint.port();
}

std::string HttpServer::authority() const {
  const auto ip = state_->endpoint.address();
  return (ip.is_v6() ? "[" + ip.to_string() + "]" : ip.to_string()) + ":" + std::to_string(port());
}

asio::io_context& HttpServer::io() {
  return state_->io;
}
asio::thread_pool& HttpServer::pool() {
  return state_->pool;
}

std::pair<std::string, uint16_t> parse_listen_address(std::string_view text) {
  const auto malformed = [&] {
    return Error(ErrorKind::Usage, "`" + std::string(text) + "` is not an address to listen on",
                 "write ADDRESS:PORT, e.g. 127.0.0.1:8080, [::1]:8080 or :8080; port 0 picks a free one");
  };
  std::string_view host = "127.0.0.1", port = text;
  if (const size_t colon = text.rfind(':'); colon != std::string_view::npos) {
    port = text.substr(colon + 1);
    host = text.substr(0, colon);
    if (host.starts_with('[') && host.ends_with(']'))
      host = host.substr(1, host.size() - 2);
    else if (host.find(':') != std::string_view::npos)
      throw malformed();
    if (host.empty()) host = "127.0.0.1";
  }
  uint16_t number = 0;
  const auto [at, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (port.empty() || error != std::errc{} || at != port.data() + port.size()) throw malformed();
  return {std::string(host), number};
}

}  // namespace kiln
