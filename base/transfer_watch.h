#pragma once

#include <chrono>
#include <cstdint>

#include "base/clock.h"

namespace kiln {

// Tells when a transfer is not worth waiting for: no byte for `stall`, or less than `lowest_rate` bytes a
// second over a whole such time (who sends one byte now and then never ends). Not thread-safe.
class TransferWatch {
 public:
  using Moment = std::chrono::steady_clock::time_point;
  TransferWatch(Duration stall, uint64_t lowest_rate, Moment now)
      : stall_(stall), lowest_rate_(lowest_rate), moved_(now), window_(now) {}

  // `bytes` have moved until `now`, in all.
  bool is_too_slow(Moment now, uint64_t bytes) {
    if (bytes != bytes_) moved_ = now;
    bytes_ = bytes;
    if (now - moved_ >= stall_) return true;
    if (now - window_ < stall_) return false;
    const double wanted = static_cast<double>(lowest_rate_) * seconds(now - window_);
    const bool slow = static_cast<double>(bytes - window_bytes_) < wanted;
    window_ = now;
    window_bytes_ = bytes;
    return slow;
  }

 private:
  Duration stall_;
  uint64_t lowest_rate_, bytes_ = 0, window_bytes_ = 0;
  Moment moved_, window_;
};

}  // namespace kiln
