#pragma once

#include <boost/asio/steady_timer.hpp>
#include <exception>
#include <functional>

#include "base/http_server.h"

// Inside of registry/server/server_uploads.cc.
namespace kiln::registry::detail {

// Work on a pool while the coroutine that has started it goes on. Belongs to one executor that does one thing
// at a time (a connection's); must not go before join() has returned.
class PieceTask {
 public:
  PieceTask(asio::any_io_executor executor, asio::thread_pool& pool)
      : executor_(executor), pool_(pool), over_(executor, asio::steady_timer::time_point::max()) {}
  PieceTask(const PieceTask&) = delete;
  PieceTask& operator=(const PieceTask&) = delete;

  // After join() only.
  void start(std::function<void()> work);
  // Waits until it is over, if it was started; `failure` is what it has thrown.
  Awaitable<void> join();
  std::exception_ptr failure() const { return failure_; }

 private:
  const asio::any_io_executor executor_;
  asio::thread_pool& pool_;
  asio::steady_timer over_;
  bool running_ = false;
  std::exception_ptr failure_;
};

}  // namespace kiln::registry::detail
