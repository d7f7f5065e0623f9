#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <string>

namespace kiln::registry::detail {

// A bounded queue of byte pieces between one producing and one consuming thread.
class PieceQueue {
 public:
  // False when the consumer has given up.
  bool push(std::string piece) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return closed_ || pieces_.size() < 16; });
    if (closed_) return false;
    pieces_.push_back(std::move(piece));
    changed_.notify_all();
    return true;
  }
  // No more pieces, for the reason given if there is one.
  void end(std::exception_ptr failure = {}) {
    std::lock_guard lock(mutex_);
    ended_ = true;
    failure_ = failure;
    changed_.notify_all();
  }
  // An empty piece is the end; throws what the producer failed with.
  std::string pop() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return ended_ || !pieces_.empty(); });
    if (pieces_.empty()) {
      if (failure_) std::rethrow_exception(failure_);
      return {};
    }
    std::string piece = std::move(pieces_.front());
    pieces_.pop_front();
    changed_.notify_all();
    return piece;
  }
  void close() {
    std::lock_guard lock(mutex_);
    closed_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::string> pieces_;
  bool ended_ = false, closed_ = false;
  std::exception_ptr failure_;
};

}  // namespace kiln::registry::detail
