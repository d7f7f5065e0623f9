#pragma once

#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/http_server.h"

// Inside of base/http_connection.cc: a TLS connection as a plain socket, for handlers that take theirs over.
namespace kiln::detail {

using TlsStream = asio::ssl::stream<asio::ip::tcp::socket&>;

// A pair of sockets: one for the handler, the other's bytes go to the stream and back. One executor only.
class TlsRelay {
 public:
  explicit TlsRelay(TlsStream& stream);  // throws Infrastructure
  asio::ip::tcp::socket& handlers_end() { return outer_; }
  // Sends what the handler has written, and ends. Must be awaited before the relay or the stream goes.
  Awaitable<void> end();

 private:
  Awaitable<void> pass_out();
  Awaitable<void> pass_in();

  TlsStream& stream_;
  asio::ip::tcp::socket outer_, inner_;
  asio::steady_timer changed_;  // cancelled when a direction has ended
  bool out_ended_ = false, in_ended_ = false;
};

}  // namespace kiln::detail
