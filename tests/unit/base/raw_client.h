#pragma once

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "base/http_server.h"

namespace kiln {

// A blocking client that says exactly the bytes it is told to.
class RawClient {
 public:
  explicit RawClient(uint16_t port) : socket_(io_) {
    socket_.connect(asio::ip::tcp::endpoint(asio::ip::make_address("127.0.0.1"), port));
  }
  void send(std::string_view bytes) { asio::write(socket_, asio::buffer(bytes)); }
  void end() { socket_.shutdown(asio::ip::tcp::socket::shutdown_send); }
  std::string read_until(std::string_view mark) {
    while (received_.find(mark) == std::string::npos && more()) {
    }
    const size_t at = received_.find(mark);
    if (at == std::string::npos) return std::exchange(received_, {});
    std::string out = received_.substr(0, at + mark.size());
    received_.erase(0, at + mark.size());
    return out;
  }
  std::string read_to_end() {
    while (more()) {
    }
    return std::exchange(received_, {});
  }

 private:
  bool more() {
    char buffer[4096];
    boost::system::error_code error;
    const size_t count = socket_.read_some(asio::buffer(buffer), error);
    received_.append(buffer, count);
    return !error;
  }
  asio::io_context io_;
  asio::ip::tcp::socket socket_;
  std::string received_;
};

}  // namespace kiln
