// The answer's half of a connection: heads, bodies, files.
#include <boost/asio/write.hpp>
#include <cerrno>
#include <ctime>
#include <sys/sendfile.h>
#include <unistd.h>

#include "base/error.h"
#include "base/http_connection.h"
#include "base/text.h"

namespace kiln::detail {
namespace {

using boost::system::error_code;
using boost::system::system_error;

// "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n", made once a second per thread.
std::string_view date_line() {
  thread_local time_t made_at = 0;
  thread_local char line[64];
  const time_t now = ::time(nullptr);
  if (now != made_at) {
    tm parts;
    ::gmtime_r(&now, &parts);
    std::strftime(line, sizeof line, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &parts);
    made_at = now;
  }
  return line;
}

bool has_no_body(int status) {
  return status < 200 || status == 204 || status == 304;
}

// A line break inside a value would let whoever chose it write headers of his own.
bool is_safe_value(std::string_view value) {
  return value.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos;
}

}  // namespace

std::string HttpConnection::head_text(int status, const HttpHeaders& headers,
                                      std::optional<uint64_t> length) {
  body_wanted_ = method_ != "HEAD" && !has_no_body(status);
  if (stopping_ || headers.has_token("Connection", "close")) keep_alive_ = false;
  if (continue_expected_ || body_too_large_) keep_alive_ = false;
  if (length)
    framing_ = Framing::Length;
  else
    framing_ = http_minor() == 1 ? Framing::Chunked : Framing::UntilClose;
  if (framing_ == Framing::UntilClose) keep_alive_ = false;

  std::string head;
  head.reserve(256);
  head += "HTTP/1.1 " + std::to_string(status) + " ";
  head += http_reason(status);
  head += "\r\n";
  head += date_line();
  for (const auto& [name, value] : headers) {
    if (iequals(name, "Content-Length") || iequals(name, "Transfer-Encoding") ||
        iequals(name, "Connection") || iequals(name, "Date") || !is_safe_value(name) || !is_safe_value(value))
      continue;
    head.append(name).append(": ").append(value).append("\r\n");
  }
  if (length && status >= 200 && status != 204)
    head += "Content-Length: " + std::to_string(*length) + "\r\n";
  else if (framing_ == Framing::Chunked && !has_no_body(status))
    head += "Transfer-Encoding: chunked\r\n";
  if (!keep_alive_)
    head += "Connection: close\r\n";
  else if (http_minor() == 0)
    head += "Connection: keep-alive\r\n";
  head += "\r\n";
  return head;
}

Awaitable<void> HttpConnection::send(std::string_view a, std::string_view b, std::string_view c) {
  allow(options_.stall_timeout);
  const std::array<asio::const_buffer, 3> pieces{asio::buffer(a), asio::buffer(b), asio::buffer(c)};
  // Large bodies go in slices, so that the time limit is for each slice and not for all of it.
  const size_t total = a.size() + b.size() + c.size();
  if (total <= (1u << 20)) {
    if (tls_)
      co_await asio::async_write(*tls_, pieces, asio::use_awaitable);
    else
      co_await asio::async_write(socket_, pieces, asio::use_awaitable);
  } else {
    for (std::string_view piece : {a, b, c}) {
      while (!piece.empty()) {
        allow(options_.stall_timeout);
        const asio::const_buffer slice = asio::buffer(piece.substr(0, 1u << 20));
        size_t count = 0;
        if (tls_)
          count = co_await tls_->async_write_some(slice, asio::use_awaitable);
        else
          count = co_await socket_.async_write_some(slice, asio::use_awaitable);
        piece.remove_prefix(count);
      }
    }
  }
  watch_.deadline_ns = INT64_MAX;
}

void HttpConnection::check_open(uint64_t bytes) {
  if (!started_ || finished_)
    throw Error(ErrorKind::Infrastructure, "a response body was written outside of begin() and finish()");
  if (framing_ != Framing::Length || !body_wanted_) return;
  if (bytes > remaining_)
    throw Error(ErrorKind::Infrastructure, "a response body is longer than its Content-Length");
  remaining_ -= bytes;
}

Awaitable<void> HttpConnection::respond(int status, HttpHeaders headers, std::string_view body) {
  if (started_) throw Error(ErrorKind::Infrastructure, "a request was answered twice");
  const std::string head = head_text(status, headers, body.size());
  started_ = finished_ = true;
  co_await send(head, body_wanted_ ? body : std::string_view{});
}

Awaitable<void> HttpConnection::begin(int status, HttpHeaders headers, std::optional<uint64_t> length) {
  if (started_) throw Error(ErrorKind::Infrastructure, "a request was answered twice");
  const std::string head = head_text(status, headers, length);
  started_ = true;
  remaining_ = length.value_or(0);
  co_await send(head);
}

Awaitable<void> HttpConnection::write(std::string_view bytes) {
  check_open(bytes.size());
  if (bytes.empty() || !body_wanted_) co_return;
  if (framing_ != Framing::Chunked) {
    co_await send(bytes);
    co_return;
  }
  char size[20];
  std::snprintf(size, sizeof size, "%zx\r\n", bytes.size());
  co_await send(size, bytes, "\r\n");
}

// What is encrypted here has to be read here.
Awaitable<void> HttpConnection::send_encrypted(int fd, uint64_t offset, uint64_t length) {
  constexpr size_t kPiece = 256u << 10;
  const auto piece = std::make_unique_for_overwrite<char[]>(kPiece);
  while (length > 0) {
    const ssize_t count =
        ::pread(fd, piece.get(), std::min<uint64_t>(length, kPiece), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw_errno("cannot read a file that is sent");
    if (count == 0) throw Error(ErrorKind::Infrastructure, "a file became shorter while it was sent");
    co_await send(std::string_view(piece.get(), static_cast<size_t>(count)));
    offset += static_cast<uint64_t>(count);
    length -= static_cast<uint64_t>(count);
  }
}

Awaitable<void> HttpConnection::send_file(int fd, uint64_t offset, uint64_t length) {
  if (framing_ == Framing::Chunked)
    throw Error(ErrorKind::Infrastructure, "send_file needs a response of known length");
  check_open(length);
  if (!body_wanted_) co_return;
  if (tls_) {
    co_await send_encrypted(fd, offset, length);
    co_return;
  }
  auto position = static_cast<off_t>(offset);
  while (length > 0) {
    const ssize_t count =
        ::sendfile(socket_.native_handle(), fd, &position, std::min<uint64_t>(length, 1u << 20));
    if (count > 0) {
      length -= static_cast<uint64_t>(count);
    } else if (count == 0) {
      throw Error(ErrorKind::Infrastructure, "a file became shorter while it was sent");
    } else if (errno == EAGAIN) {
      allow(options_.stall_timeout);
      co_await socket_.async_wait(asio::ip::tcp::socket::wait_write, asio::use_awaitable);
    } else if (errno == EPIPE || errno == ECONNRESET || errno == ETIMEDOUT) {
      throw system_error(error_code(errno, boost::system::system_category()));
    } else if (errno != EINTR) {
      throw_errno("sendfile");
    }
  }
  watch_.deadline_ns = INT64_MAX;
}

Awaitable<void> HttpConnection::finish() {
  if (!started_ || finished_) co_return;
  finished_ = true;
  if (!body_wanted_) co_return;
  if (framing_ == Framing::Length && remaining_ > 0) {
    keep_alive_ = false;
    throw Error(ErrorKind::Infrastructure, "a response body is shorter than its Content-Length");
  }
  if (framing_ == Framing::Chunked) co_await send("0\r\n\r\n");
}

Awaitable<void> HttpConnection::refuse(int status, std::string_view message) {
  const std::string body = "{\"error\":{\"message\":\"" + std::string(message) + "\"}}";
  const std::string head = "HTTP/1.1 " + std::to_string(status) + " " + std::string(http_reason(status)) +
                           "\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: " +
                           std::to_string(body.size()) + "\r\n\r\n";
  co_await send(head, body);
  co_await linger();
}

}  // namespace kiln::detail
