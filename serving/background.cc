#include "serving/background.h"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <spdlog/spdlog.h>

#include "base/error.h"

namespace kiln::serving {

struct Background::State {
  int running = 0;
  std::vector<std::shared_ptr<asio::steady_timer>> waiting;
};

Background::Background(asio::io_context& io) : io_(io), state_(std::make_shared<State>()) {}

void Background::start(std::string what, Awaitable<void> task, std::shared_ptr<void> owner) {
  ++state_->running;
  auto done = [state = state_, what = std::move(what), owner = std::move(owner)](std::exception_ptr failure) {
    try {
      if (failure) std::rethrow_exception(failure);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::Cancelled) spdlog::error("{}: {}", what, error.full());
    } catch (const std::exception& error) {
      spdlog::error("{}: {}", what, error.what());
    }
    if (--state->running == 0)
      for (const auto& timer : std::exchange(state->waiting, {})) timer->cancel();
  };
  asio::co_spawn(io_, std::move(task), std::move(done));
}

Awaitable<void> Background::finished() {
  const auto state = state_;
  while (state->running > 0) {
    auto timer = std::make_shared<asio::steady_timer>(io_, std::chrono::steady_clock::time_point::max());
    state->waiting.push_back(timer);
    boost::system::error_code cancelled;
    co_await timer->async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
  }
}

}  // namespace kiln::serving
