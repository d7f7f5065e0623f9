#pragma once

#include <atomic>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <memory>
#include <optional>
#include <string>

#include "base/body_rate.h"
#include "base/http_server.h"
#include "base/tls_relay.h"

// Inside of base/http_server.cc: one connection of the server, request after request.
namespace kiln::detail {

// What the server's sweeper may look at from another thread: it never touches the socket object, it only
// shuts the descriptor down, and only while the connection is registered.
struct ConnectionWatch {
  int fd = -1;
  std::atomic<int64_t> deadline_ns{0};  // steady clock
  std::atomic<bool> idle{true};         // waiting for a request's first byte
};

class HttpConnection final : public HttpExchange {
 public:
  // `tls`: null for plain HTTP.
  HttpConnection(asio::ip::tcp::socket socket, std::shared_ptr<asio::ssl::context> tls,
                 const HttpServer::Options& options, const HttpHandler& handler, asio::thread_pool& pool,
                 const std::atomic<bool>& stopping, ConnectionWatch& watch);

  // Serves requests until the connection ends. Never throws.
  Awaitable<void> serve();

  std::string_view method() const override { return method_; }
  std::string_view target() const override { return target_; }
  const HttpHeaders& headers() const override { return headers_; }
  std::string remote_address() const override { return remote_; }
  bool is_secure() const override { return tls_.has_value(); }
  int http_minor() const override { return parser_->get().version() % 10; }
  std::optional<uint64_t> content_length() const override;
  Awaitable<size_t> read_some(std::span<char> buffer) override;
  Awaitable<std::string> read_all(size_t limit) override;
  Awaitable<void> respond(int status, HttpHeaders headers, std::string_view body) override;
  Awaitable<void> begin(int status, HttpHeaders headers, std::optional<uint64_t> length) override;
  Awaitable<void> write(std::string_view bytes) override;
  Awaitable<void> send_file(int fd, uint64_t offset, uint64_t length) override;
  Awaitable<void> finish() override;
  bool started() const override { return started_; }
  asio::ip::tcp::socket& take_socket() override;
  std::string take_buffered() override;
  asio::thread_pool& pool() override { return pool_; }

 private:
  using Parser = boost::beast::http::request_parser<boost::beast::http::buffer_body>;
  enum class Framing { Length, Chunked, UntilClose };

  Awaitable<bool> shake_hands();  // TLS; false: the connection ends here
  Awaitable<void> end_tls();      // tells the client that nothing more comes
  Awaitable<void> serve_requests();
  Awaitable<bool> read_head();  // false: the connection ends here
  bool is_framing_clear() const;
  bool take_host_of_target();    // false: it is none
  Awaitable<bool> answer_one();  // false: do not go on
  Awaitable<void> refuse(int status, std::string_view message);
  Awaitable<void> answer_error(int status, std::string message, std::string hint);
  Awaitable<bool> drain_body();  // the rest of an unread body, if it is short
  Awaitable<void> linger();      // lets the client read our answer before the connection goes
  Awaitable<size_t> fill();      // more bytes from the socket
  bool parse();                  // buffered bytes into the parser; false when it needs more of them
  std::string head_text(int status, const HttpHeaders& headers, std::optional<uint64_t> length);
  Awaitable<void> send_encrypted(int fd, uint64_t offset, uint64_t length);
  Awaitable<void> send(std::string_view a, std::string_view b = {}, std::string_view c = {});
  void allow(Duration time);
  void check_open(uint64_t bytes);

  asio::ip::tcp::socket socket_;
  std::shared_ptr<asio::ssl::context> tls_context_;
  std::optional<TlsStream> tls_;   // over the socket
  std::optional<TlsRelay> relay_;  // of who took the socket over
  const HttpServer::Options& options_;
  const HttpHandler& handler_;
  asio::thread_pool& pool_;
  const std::atomic<bool>& stopping_;
  ConnectionWatch& watch_;
  std::string remote_;
  boost::beast::flat_buffer buffer_;

  // Of the request under way.
  std::optional<Parser> parser_;
  std::string_view method_, target_;
  HttpHeaders headers_;
  bool continue_expected_ = false;
  bool body_too_large_ = false, body_too_slow_ = false;
  BodyRate body_rate_;
  bool started_ = false, finished_ = false, taken_ = false;
  bool keep_alive_ = false, body_wanted_ = true;
  Framing framing_ = Framing::Length;
  uint64_t remaining_ = 0;
};

}  // namespace kiln::detail
