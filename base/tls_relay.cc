#include "base/tls_relay.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/write.hpp>
#include <sys/socket.h>

#include "base/error.h"

namespace kiln::detail {
namespace {

using boost::system::error_code;
using Socket = asio::ip::tcp::socket;

constexpr size_t kPiece = 64u << 10;
constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);

// Until either side ends.
template <class From, class To>
Awaitable<void> pass(From& from, To& to) {
  const auto buffer = std::make_unique_for_overwrite<char[]>(kPiece);
  for (;;) {
    const auto [read_error, count] =
        co_await from.async_read_some(asio::buffer(buffer.get(), kPiece), kAwait);
    if (read_error) co_return;
    const auto [write_error, written] =
        co_await asio::async_write(to, asio::buffer(buffer.get(), count), kAwait);
    if (write_error) co_return;
  }
}

}  // namespace

TlsRelay::TlsRelay(TlsStream& stream)
    : stream_(stream),
      outer_(stream.get_executor()),
      inner_(stream.get_executor()),
      changed_(stream.get_executor()) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    throw_errno("cannot make a socket pair");
  // To Asio a stream of bytes is as good as another.
  outer_.assign(asio::ip::tcp::v4(), ends[0]);
  inner_.assign(asio::ip::tcp::v4(), ends[1]);
  asio::co_spawn(stream.get_executor(), pass_out(), asio::detached);
  asio::co_spawn(stream.get_executor(), pass_in(), asio::detached);
}

Awaitable<void> TlsRelay::pass_out() {
  co_await pass(inner_, stream_);
  error_code ignored;
  stream_.next_layer().shutdown(Socket::shutdown_send, ignored);
  out_ended_ = true;
  changed_.cancel();
}

Awaitable<void> TlsRelay::pass_in() {
  co_await pass(stream_, inner_);
  error_code ignored;
  inner_.shutdown(Socket::shutdown_send, ignored);
  in_ended_ = true;
  changed_.cancel();
}

Awaitable<void> TlsRelay::end() {
  error_code ignored;
  outer_.close(ignored);
  while (!out_ended_ || !in_ended_) {
    if (out_ended_) stream_.next_layer().shutdown(Socket::shutdown_both, ignored);
    changed_.expires_at(asio::steady_timer::time_point::max());
    const auto [cancelled] = co_await changed_.async_wait(kAwait);
    static_cast<void>(cancelled);
  }
}

}  // namespace kiln::detail
