#pragma once

#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <utility>

namespace kiln::executor {

// How many pods of a run, and of the pipelines inside it, may be there at once. Thread-safe.
class Slots {
 public:
  explicit Slots(size_t free) : free_(free) {}

  // One place, for as long as this is there.
  class Held {
   public:
    Held() = default;
    explicit Held(Slots& of) : of_(&of) {}
    Held(Held&& other) noexcept : of_(std::exchange(other.of_, nullptr)) {}
    Held& operator=(Held&&) = delete;
    ~Held() {
      if (of_ != nullptr) of_->give_back();
    }
    explicit operator bool() const { return of_ != nullptr; }

   private:
    Slots* of_ = nullptr;
  };

  // Blocks until one is free; none when `stop` comes first.
  Held take(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait(lock, stop, [this] { return free_ > 0; })) return {};
    --free_;
    return Held(*this);
  }

 private:
  void give_back() {
    {
      const std::lock_guard lock(mutex_);
      ++free_;
    }
    changed_.notify_one();
  }

  std::mutex mutex_;  // guards what follows
  std::condition_variable_any changed_;
  size_t free_;
};

}  // namespace kiln::executor
