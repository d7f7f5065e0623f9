#include "serving/upstream.h"

#include <array>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
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
#include "serving/request_head.h"
#include "serving/tunnel.h"

namespace kiln::serving {
namespace {

namespace http = boost::beast::http;
using boost::system::error_code;
using boost::system::system_error;
using Socket = Instance::Socket;
using Parser = http::response_parser<http::buffer_body>;

constexpr size_t kPiece = 64 << 10;
constexpr size_t kHeadLimit = 256 << 10;

// Closes the socket when time is up, unless the request ended first.
class Deadline {
 public:
  Deadline(Socket& socket, Duration limit)
      : state_(std::make_shared<State>(&socket)), timer_(socket.get_executor()) {
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

// The request's body on its way to the instance, beside the answer that comes back: an instance may answer
// before it has read everything, or answer what it reads. What goes on is in `state`, which the coroutine's
// end shares; exchange and socket must live until join() is through.
class BodySender {
 public:
  BodySender(HttpExchange& exchange, Socket& socket)
      : state_(std::make_shared<State>(socket.get_executor())) {
    auto ended = [state = state_](std::exception_ptr failure) {
      state->ended = true;
      if (failure && !state->client_failure) state->upstream_failed = true;
      state->end.cancel();
    };
    asio::co_spawn(socket.get_executor(), send(exchange, socket, state_),
                   asio::bind_cancellation_slot(state_->cancel.slot(), std::move(ended)));
  }
  // Stops it if it is still at it, and waits until it has stopped.
  Awaitable<void> join() {
    const auto state = state_;
    if (!state->ended) state->cancel.emit(asio::cancellation_type::terminal);
    error_code ignored;
    while (!state->ended) co_await state->end.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  bool complete() const { return state_->ended && !state_->client_failure && !state_->upstream_failed; }
  // What the client did wrong (system_error), if it was the client.
  std::exception_ptr client_failure() const { return state_->client_failure; }

 private:
  struct State {
    explicit State(const asio::any_io_executor& executor)
        : end(executor, std::chrono::steady_clock::time_point::max()) {}
    asio::steady_timer end;
    asio::cancellation_signal cancel;
    std::exception_ptr client_failure;
    bool ended = false, upstream_failed = false;
  };

  static Awaitable<void> send(HttpExchange& exchange, Socket& socket, std::shared_ptr<State> state) {
    const auto buffer = std::make_unique_for_overwrite<char[]>(kPiece);
    const bool chunked = !exchange.content_length();
    for (;;) {
      size_t n = 0;
      try {
        n = co_await exchange.read_some(std::span(buffer.get(), kPiece));
      } catch (const system_error& error) {
        if (error.code() == asio::error::operation_aborted) throw;  // by join()
        state->client_failure = std::current_exception();
      }
      if (state->client_failure) {
        // The instance must not take half a body for a whole one.
        error_code ignored;
        socket.close(ignored);
        co_return;
      }
      if (n == 0) break;
      char size[20];
      const int digits = chunked ? std::snprintf(size, sizeof size, "%zx\r\n", n) : 0;
      const std::array<asio::const_buffer, 3> pieces{asio::buffer(size, static_cast<size_t>(digits)),
                                                     asio::buffer(buffer.get(), n),
                                                     asio::buffer("\r\n", chunked ? 2 : 0)};
      co_await asio::async_write(socket, pieces, asio::use_awaitable);
    }
    if (chunked) co_await asio::async_write(socket, asio::buffer("0\r\n\r\n", 5), asio::use_awaitable);
  }

  std::shared_ptr<State> state_;
};

HttpHeaders headers_of(const Parser& parser) {
  HttpHeaders all;
  for (const auto& field : parser.get())
    all.add(std::string(field.name_string()), std::string(field.value()));
  return all;
}

bool is_idempotent(std::string_view method) {
  for (const char* known : {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
    if (method == known) return true;
  return false;
}

// One request on its way through one instance.
class Passage {
 public:
  Passage(HttpExchange& exchange, Instance& instance, const ProxyOptions& options)
      : exchange_(exchange), instance_(instance), options_(options) {}

  Awaitable<void> go() {
    const bool has_body = !exchange_.content_length() || *exchange_.content_length() > 0;
    const bool upgrade = wants_tunnel(exchange_) && !has_body;
    replayable_ = !has_body && !upgrade && is_idempotent(exchange_.method());
    // What cannot be sent again gets a connection that is surely alive.
    Instance::Connection connection = co_await instance_.connect(replayable_ && options_.allow_reused);
    reused_ = connection.reused;
    socket_ = &connection.socket;
    Deadline deadline(*socket_, options_.response_start);
    buffer_.reserve(8 << 10);

    const std::string head = request_head(exchange_, upgrade);
    error_code error;
    co_await asio::async_write(*socket_, asio::buffer(head),
                               asio::redirect_error(asio::use_awaitable, error));
    if (error) give_up(error, deadline.passed(), true);
    if (has_body) sender_.emplace(exchange_, *socket_);

    std::exception_ptr failure;
    try {
      co_await read_head(deadline, upgrade);
      if (upgrade && parser_->get().result_int() == 101) {
        co_await switch_protocols();
      } else {
        co_await pass_answer();
      }
    } catch (...) {
      failure = std::current_exception();
    }
    if (sender_) {
      co_await sender_->join();
      if (sender_->client_failure()) std::rethrow_exception(sender_->client_failure());
    }
    if (failure) std::rethrow_exception(failure);
    const bool whole = !sender_ || sender_->complete();
    if (whole && !upgrade && parser_->keep_alive() && buffer_.size() == 0)
      instance_.keep(std::move(*socket_));
  }

 private:
  // No answer came: who is to blame, and may the request go elsewhere?
  [[noreturn]] void give_up(const error_code& error, bool late, bool nothing_sent) {
    if (late) throw Error(ErrorKind::TimedOut, options_.revision + " did not answer in time");
    const bool malformed = error.category() == http::make_error_code(http::error::bad_version).category() &&
                           error != http::error::end_of_stream && error != http::error::partial_message;
    const bool closed = !malformed;
    if (closed && (replayable_ || nothing_sent)) throw InstanceGone(reused_);
    if (closed)
      throw Error(ErrorKind::Failed, options_.revision + " closed the connection without an answer");
    throw Error(ErrorKind::Failed,
                options_.revision + " gave an answer that is not HTTP: " + error.message());
  }

  Awaitable<void> read_head(Deadline& deadline, bool upgrade) {
    for (;;) {  // interim answers (100, 103) are not passed on
      parser_.emplace();
      parser_->body_limit(boost::none);
      parser_->header_limit(kHeadLimit);
      if (exchange_.method() == "HEAD") parser_->skip(true);
      error_code error;
      co_await http::async_read_header(*socket_, buffer_, *parser_,
                                       asio::redirect_error(asio::use_awaitable, error));
      if (error) give_up(error, deadline.passed(), false);
      const unsigned status = parser_->get().result_int();
      if (status >= 200 || status == 101) break;
    }
    deadline.stop();
    if (parser_->get().result_int() == 101 && !upgrade)
      throw Error(ErrorKind::Failed, options_.revision + " switched protocols unasked");
  }

  Awaitable<void> pass_answer() {
    const int status = static_cast<int>(parser_->get().result_int());
    std::optional<uint64_t> length;
    if (const auto stated = parser_->content_length()) length = *stated;
    HttpHeaders headers = end_to_end(headers_of(*parser_));
    const bool all_here = length && *length <= buffer_.size() && *length <= kPiece && !parser_->is_done();
    if (all_here) {  // one write for all of it
      const auto body = std::make_unique_for_overwrite<char[]>(*length + 1);
      const size_t size = parse_body(body.get(), *length + 1);
      co_await exchange_.respond(status, std::move(headers), std::string_view(body.get(), size));
      co_return;
    }
    co_await exchange_.begin(status, std::move(headers), length);
    const auto piece = parser_->is_done() ? nullptr : std::make_unique_for_overwrite<char[]>(kPiece);
    while (!parser_->is_done()) {
      auto& body = parser_->get().body();
      body.data = piece.get();
      body.size = kPiece;
      body.more = true;
      error_code error;
      co_await http::async_read_some(*socket_, buffer_, *parser_,
                                     asio::redirect_error(asio::use_awaitable, error));
      if (error && error != http::error::need_buffer)
        throw Error(ErrorKind::Failed, options_.revision + " broke its answer off");
      const size_t n = kPiece - body.size;
      if (n > 0) co_await exchange_.write(std::string_view(piece.get(), n));
    }
    co_await exchange_.finish();
  }

  // A body of known length that is in the buffer already.
  size_t parse_body(char* into, size_t room) {
    auto& body = parser_->get().body();
    body.data = into;
    body.size = room;
    body.more = true;
    error_code error;
    while (!parser_->is_done() && !error) buffer_.consume(parser_->put(buffer_.data(), error));
    return room - body.size;
  }

  // After a 101 the connection is no longer ours to read as HTTP.
  Awaitable<void> switch_protocols() {
    std::string head = "HTTP/1.1 101 Switching Protocols\r\n";
    for (const auto& field : parser_->get())
      head.append(field.name_string()).append(": ").append(field.value()).append("\r\n");
    head += "\r\n";
    head.append(static_cast<const char*>(buffer_.data().data()), buffer_.size());
    std::string from_client = exchange_.take_buffered();
    Socket& client = exchange_.take_socket();
    co_await tunnel(client, *socket_, std::move(head), std::move(from_client));
  }

  HttpExchange& exchange_;
  Instance& instance_;
  const ProxyOptions& options_;
  bool replayable_ = false, reused_ = false;
  Socket* socket_ = nullptr;
  boost::beast::flat_buffer buffer_;
  std::optional<Parser> parser_;
  std::optional<BodySender> sender_;
};

}  // namespace

Awaitable<void> proxy(HttpExchange& exchange, Instance& instance, const ProxyOptions& options) {
  Passage passage(exchange, instance, options);
  co_await passage.go();
}

}  // namespace kiln::serving
