#include "base/http_connection.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/redirect_error.hpp>
#include <nlohmann/json.hpp>
#include <sys/socket.h>

#include "base/error.h"
#include "base/text.h"

namespace kiln::detail {
namespace {

namespace http = boost::beast::http;
using boost::system::error_code;
using boost::system::system_error;

constexpr size_t kReadSize = 64u << 10;
constexpr size_t kFirstRead = 16u << 10, kDrainLimit = 256u << 10;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);

int status_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::Usage:
    case ErrorKind::Invalid:
      return 400;
    case ErrorKind::NotFound:
      return 404;
    case ErrorKind::Unavailable:
      return 503;
    case ErrorKind::TimedOut:
      return 504;
    default:
      return 500;
  }
}

}  // namespace

HttpConnection::HttpConnection(asio::ip::tcp::socket socket, std::shared_ptr<asio::ssl::context> tls,
                               const HttpServer::Options& options, const HttpHandler& handler,
                               asio::thread_pool& pool, const std::atomic<bool>& stopping,
                               ConnectionWatch& watch)
    : socket_(std::move(socket)),
      tls_context_(std::move(tls)),
      options_(options),
      handler_(handler),
      pool_(pool),
      stopping_(stopping),
      watch_(watch) {
  error_code ignored;
  const auto peer = socket_.remote_endpoint(ignored);
  remote_ = peer.address().is_v6() ? "[" + peer.address().to_string() + "]" : peer.address().to_string();
  remote_ += ":" + std::to_string(peer.port());
  socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
  socket_.native_non_blocking(true, ignored);
}

void HttpConnection::allow(Duration time) {
  const auto until = std::chrono::steady_clock::now().time_since_epoch() + time;
  watch_.deadline_ns.store(std::chrono::nanoseconds(until).count(), std::memory_order_relaxed);
}

Awaitable<void> HttpConnection::serve() {
  try {
    bool go_on = true;
    if (tls_context_) go_on = co_await shake_hands();
    if (go_on) co_await serve_requests();
  } catch (const system_error&) {    // the client went away: nobody is left to be told
  } catch (const std::bad_alloc&) {  // one connection less
  }
  if (relay_) co_await relay_->end();
}

Awaitable<void> HttpConnection::serve_requests() {
  bool go_on = true;
  while (go_on && !stopping_) {
    go_on = co_await read_head();
    if (go_on) go_on = co_await answer_one();
  }
  if (tls_ && !relay_) co_await end_tls();
}

// Whoever speaks plain HTTP here has mistaken the scheme, and is told so in the words he understands.
Awaitable<bool> HttpConnection::shake_hands() {
  constexpr char kHandshake = 0x16;  // the type of the first TLS record
  allow(options_.header_timeout);
  co_await socket_.async_wait(asio::ip::tcp::socket::wait_read, asio::use_awaitable);
  char first = 0;
  if (::recv(socket_.native_handle(), &first, 1, MSG_PEEK) != 1) co_return false;
  watch_.idle = false;
  if (first >= 'A' && first <= 'Z') {
    co_await refuse(400, "this port speaks TLS: write https:// instead of http://");
    co_return false;
  }
  if (first != kHandshake) co_return false;
  tls_.emplace(socket_, *tls_context_);
  co_await tls_->async_handshake(asio::ssl::stream_base::server, asio::use_awaitable);
  co_return true;
}

Awaitable<void> HttpConnection::end_tls() {
  allow(std::min<Duration>(options_.stall_timeout, std::chrono::seconds(2)));
  const auto [ignored] = co_await tls_->async_shutdown(kAwait);
  static_cast<void>(ignored);
}

Awaitable<size_t> HttpConnection::fill() {
  error_code error;
  size_t count = 0;
  const auto room = buffer_.prepare(kReadSize);
  if (tls_)
    count = co_await tls_->async_read_some(room, asio::redirect_error(asio::use_awaitable, error));
  else
    count = co_await socket_.async_read_some(room, asio::redirect_error(asio::use_awaitable, error));
  if (error == asio::error::eof || error == asio::ssl::error::stream_truncated) co_return 0;
  if (error) throw system_error(error);
  buffer_.commit(count);
  co_return count;
}

bool HttpConnection::parse() {
  error_code error;
  const size_t used = parser_->put(buffer_.data(), error);
  buffer_.consume(used);
  if (error && error != http::error::need_more && error != http::error::need_buffer)
    throw system_error(error);
  return error != http::error::need_more;
}

Awaitable<bool> HttpConnection::read_head() {
  parser_.emplace();
  parser_->header_limit(static_cast<uint32_t>(options_.header_limit));
  parser_->body_limit(boost::none);
  headers_ = {};
  started_ = finished_ = taken_ = body_too_large_ = body_too_slow_ = false;
  body_rate_ = {};
  int problem = 0;
  std::string why;
  try {
    if (buffer_.size() == 0) {
      allow(options_.idle_timeout);
      watch_.idle = true;
      const size_t count = co_await fill();
      if (count == 0) co_return false;
      watch_.idle = false;
    }
    allow(options_.header_timeout);
    parse();
    while (!parser_->is_header_done()) {
      const size_t count = co_await fill();
      if (count == 0) co_return false;
      parse();
    }
  } catch (const system_error& error) {
    if (error.code().category() != http::make_error_code(http::error::bad_version).category()) throw;
    problem = error.code() == http::error::header_limit ? 431 : 400;
    why = error.code().message();
  }
  if (problem) {
    co_await refuse(problem, why);
    co_return false;
  }
  const auto& request = parser_->get();
  for (const auto& field : request)
    headers_.add(std::string(field.name_string()), std::string(field.value()));
  const auto verb = request.method_string(), target = request.target();
  method_ = {verb.data(), verb.size()};
  target_ = {target.data(), target.size()};
  keep_alive_ = parser_->keep_alive();
  continue_expected_ = http_minor() == 1 && iequals(headers_.get("Expect"), "100-continue");
  const bool has_host = http_minor() == 0 || headers_.all("Host").size() == 1;
  const bool is_clear = is_framing_clear() && has_host && take_host_of_target();
  if (!is_clear) co_await refuse(400, "ambiguous request framing or Host");
  co_return is_clear;
}

// Whatever two readers could take for bodies of different lengths is how requests are smuggled past a proxy
// (RFC 9112, 6.1).
bool HttpConnection::is_framing_clear() const {
  const auto codings = headers_.all("Transfer-Encoding");
  if (codings.empty()) return true;
  const bool chunked = codings.size() == 1 && iequals(codings[0], "chunked");
  return chunked && http_minor() == 1 && !headers_.has("Content-Length");
}

// A target in absolute form (RFC 9112, 3.2.2) says which host is meant; from then on it is as any other.
bool HttpConnection::take_host_of_target() {
  const size_t host = target_.find("://");
  if (target_.starts_with('/') || host == std::string_view::npos) return true;
  const auto url = Url::parse(target_);
  if (!url) return false;
  headers_.set("Host", url->authority());
  const size_t path = std::min(target_.find_first_of("/?#", host + 3), target_.size());
  target_ = target_.substr(path).starts_with('/') ? target_.substr(path) : "/";
  return true;
}

Awaitable<bool> HttpConnection::answer_one() {
  watch_.deadline_ns = INT64_MAX;  // a handler may think as long as it likes
  int status = 0;
  std::string message, hint;
  try {
    co_await handler_(*this);
    if (taken_) co_return false;
    if (!started_) {
      status = 500;
      message = "the request was not answered";
    } else if (!finished_) {
      co_await finish();
    }
  } catch (const Error& error) {
    status = body_too_large_ ? 413 : body_too_slow_ ? 408 : status_of(error.kind());
    message = error.full();
    hint = error.hint();
  } catch (const system_error&) {
    throw;
  } catch (const std::exception& error) {
    status = 500;
    message = error.what();
  }
  if (status) {
    if (started_ || taken_) co_return false;  // too late for an answer; the missing end tells the client
    co_await answer_error(status, std::move(message), std::move(hint));
  }
  if (!parser_->is_done()) {
    const bool drained = co_await drain_body();
    if (!drained) {
      co_await linger();
      co_return false;
    }
  }
  co_return keep_alive_;
}

Awaitable<void> HttpConnection::answer_error(int status, std::string message, std::string hint) {
  nlohmann::json error{{"message", std::move(message)}};
  if (!hint.empty()) error["hint"] = std::move(hint);
  const std::string body =
      nlohmann::json{{"error", error}}.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  co_await respond_json(status, body);
}

Awaitable<bool> HttpConnection::drain_body() {
  if (body_too_slow_) co_return false;
  if (continue_expected_) co_return false;  // it was never asked for, so the client may not send it
  const auto length = content_length();
  if (length && *length > kDrainLimit) co_return false;
  std::vector<char> scratch(16u << 10);
  try {
    for (size_t total = 0; total <= kDrainLimit;) {
      const size_t count = co_await read_some(scratch);
      if (count == 0) co_return true;
      total += count;
    }
  } catch (const Error&) {  // too slow
  }
  co_return false;
}

Awaitable<void> HttpConnection::linger() {
  error_code ignored;
  if (tls_) co_await end_tls();
  socket_.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  allow(std::min<Duration>(options_.stall_timeout, std::chrono::seconds(2)));
  std::vector<char> scratch(16u << 10);
  for (size_t total = 0; total < (8u << 20);) {
    const auto [error, count] = co_await socket_.async_read_some(asio::buffer(scratch), kAwait);
    if (error) co_return;
    total += count;
  }
}

std::optional<uint64_t> HttpConnection::content_length() const {
  if (parser_->chunked()) return std::nullopt;
  const auto length = parser_->content_length();
  return length ? *length : 0;
}

Awaitable<size_t> HttpConnection::read_some(std::span<char> out) {
  if (parser_->is_done() || out.empty()) co_return 0;
  if (continue_expected_) {
    continue_expected_ = false;
    if (!started_) co_await send("HTTP/1.1 100 Continue\r\n\r\n");
  }
  auto& body = parser_->get().body();
  body.data = out.data();
  body.size = out.size();
  body.more = true;
  for (;;) {
    // Beast takes one element a time (a chunk's head, a piece of its data) and says when it needs more bytes.
    const bool progress = buffer_.size() > 0 && parse();
    const size_t got = out.size() - body.size;
    if (got > 0 || parser_->is_done()) {
      watch_.deadline_ns = INT64_MAX;
      co_return got;
    }
    if (progress) continue;
    allow(options_.stall_timeout);
    const auto asked = std::chrono::steady_clock::now();
    const size_t count = co_await fill();
    if (count == 0) throw system_error(http::make_error_code(http::error::partial_message));
    if (!body_rate_.add(std::chrono::steady_clock::now() - asked, count)) {
      watch_.deadline_ns = INT64_MAX;
      body_too_slow_ = true;
      keep_alive_ = false;
      throw Error(ErrorKind::TimedOut, "the request body came too slowly");
    }
  }
}

Awaitable<std::string> HttpConnection::read_all(size_t limit) {
  const auto too_large = [&] {
    body_too_large_ = true;
    return Error(ErrorKind::Invalid, "the request body is larger than " + std::to_string(limit) + " bytes");
  };
  const auto length = content_length();
  if (length && *length > limit) throw too_large();
  const size_t most = length ? *length : limit + 1;  // one more than allowed shows that there is more
  std::string body(std::min<size_t>(most, kFirstRead), '\0');  // grows as bytes come
  size_t filled = 0;
  for (;;) {
    if (filled == body.size()) {
      if (parser_->is_done()) co_return body;
      body.resize(std::min(most, body.size() * 2));
    }
    const size_t count = co_await read_some({body.data() + filled, body.size() - filled});
    if (count == 0) break;
    filled += count;
    if (filled > limit) throw too_large();
  }
  body.resize(filled);
  co_return body;
}

asio::ip::tcp::socket& HttpConnection::take_socket() {
  if (tls_ && !relay_) relay_.emplace(*tls_);
  taken_ = true;
  watch_.deadline_ns = INT64_MAX;
  return relay_ ? relay_->handlers_end() : socket_;
}

std::string HttpConnection::take_buffered() {
  std::string bytes(static_cast<const char*>(buffer_.data().data()), buffer_.size());
  buffer_.consume(buffer_.size());
  return bytes;
}

}  // namespace kiln::detail
