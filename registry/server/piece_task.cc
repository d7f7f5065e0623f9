#include "registry/server/piece_task.h"

#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>

namespace kiln::registry::detail {

void PieceTask::start(std::function<void()> work) {
  running_ = true;
  asio::post(pool_, [this, work = std::move(work)] {
    std::exception_ptr failure;
    try {
      work();
    } catch (...) {
      failure = std::current_exception();
    }
    asio::post(executor_, [this, failure] {
      if (failure) failure_ = failure;
      running_ = false;
      over_.cancel();
    });
  });
}

Awaitable<void> PieceTask::join() {
  while (running_) {
    boost::system::error_code cancelled;
    co_await over_.async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
  }
}

}  // namespace kiln::registry::detail
