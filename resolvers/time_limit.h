#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <stop_token>
#include <thread>

#include "base/clock.h"

namespace kiln::resolvers {

// A stop token that also fires when the time is up.
class TimeLimit {
 public:
  TimeLimit(Duration limit, const std::stop_token& outer)
      : forward_(outer, [this] { source_.request_stop(); }),
        timer_([this, limit](const std::stop_token& ended) { wait(limit, ended); }) {}

  std::stop_token token() const { return source_.get_token(); }
  bool expired() const { return expired_; }

 private:
  void wait(Duration limit, const std::stop_token& ended) {
    std::mutex mutex;
    std::unique_lock lock(mutex);
    std::condition_variable_any never;
    never.wait_for(lock, ended, limit, [] { return false; });
    if (ended.stop_requested()) return;
    expired_ = true;
    source_.request_stop();
  }

  std::stop_source source_;
  std::atomic<bool> expired_ = false;
  std::stop_callback<std::function<void()>> forward_;
  std::jthread timer_;  // last: it ends before what it uses
};

}  // namespace kiln::resolvers
