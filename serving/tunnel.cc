#include "serving/tunnel.h"

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <memory>

namespace kiln::serving {
namespace {

using boost::system::error_code;
using Socket = asio::ip::tcp::socket;

constexpr size_t kPiece = 64 << 10;
constexpr Duration kHalfOpen = std::chrono::seconds(60);

// Ends both directions when only one has been left for too long.
struct HalfOpenLimit {
  HalfOpenLimit(Socket& a, Socket& b) : sockets{&a, &b}, timer(a.get_executor()) {}
  void one_side_ended(const std::shared_ptr<HalfOpenLimit>& self) {
    if (ended++) {
      timer.cancel();
      return;
    }
    timer.expires_after(kHalfOpen);
    timer.async_wait([self](const error_code& cancelled) {
      if (cancelled || self->ended > 1) return;
      error_code ignored;
      for (Socket* socket : self->sockets) socket->shutdown(Socket::shutdown_both, ignored);
    });
  }
  Socket* sockets[2];
  asio::steady_timer timer;
  int ended = 0;
};

Awaitable<void> relay(Socket& from, Socket& to, std::string first, std::shared_ptr<HalfOpenLimit> limit) {
  const auto buffer = std::make_unique_for_overwrite<char[]>(kPiece);
  error_code error;
  co_await asio::async_write(to, asio::buffer(first), asio::redirect_error(asio::use_awaitable, error));
  while (!error) {
    const size_t count = co_await from.async_read_some(asio::buffer(buffer.get(), kPiece),
                                                       asio::redirect_error(asio::use_awaitable, error));
    if (error) break;
    co_await asio::async_write(to, asio::buffer(buffer.get(), count),
                               asio::redirect_error(asio::use_awaitable, error));
  }
  error_code ignored;
  to.shutdown(Socket::shutdown_send, ignored);
  // A side that was cut and did not just finish takes no bytes either: the other need not go on.
  if (error != asio::error::eof) from.shutdown(Socket::shutdown_both, ignored);
  limit->one_side_ended(limit);
}

}  // namespace

Awaitable<void> tunnel(Socket& client, Socket& upstream, std::string to_client, std::string to_upstream) {
  using asio::experimental::awaitable_operators::operator&&;
  const auto limit = std::make_shared<HalfOpenLimit>(client, upstream);
  Awaitable<void> out = relay(upstream, client, std::move(to_client), limit);
  Awaitable<void> in = relay(client, upstream, std::move(to_upstream), limit);
  Awaitable<void> both = std::move(out) && std::move(in);
  co_await std::move(both);
}

}  // namespace kiln::serving
