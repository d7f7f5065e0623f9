#pragma once

#include <chrono>
#include <cstdint>

#include "base/clock.h"

// Inside of base/http_connection.cc: whether a request's body comes fast enough to be waited for. Who sends a
// byte now and then would else hold his connection, and what is open for it, for ever.
namespace kiln::detail {

class BodyRate {
 public:
  static constexpr Duration kWindow = std::chrono::minutes(1);
  static constexpr uint64_t kLowest = 64;  // bytes per second, on the average of a window

  // So long the client was waited for, and then so much came. False: that is too slow. What the server takes
  // for itself does not count.
  bool add(Duration waited, uint64_t bytes) {
    waited_ += waited;
    received_ += bytes;
    if (waited_ < kWindow) return true;
    const bool enough = received_ >= kLowest * static_cast<uint64_t>(waited_ / std::chrono::seconds(1));
    *this = {};
    return enough;
  }

 private:
  Duration waited_{};
  uint64_t received_ = 0;
};

}  // namespace kiln::detail
