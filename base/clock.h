#pragma once

#include <chrono>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

namespace kiln {

using Time = std::chrono::sys_time<std::chrono::nanoseconds>;
using Duration = std::chrono::nanoseconds;

// Where time comes from, so that tests turn it by hand. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual Time now() const = 0;
};

const Clock& system_clock();

class ManualClock final : public Clock {
 public:
  explicit ManualClock(Time start = {}) : now_(start) {}
  Time now() const override { return now_; }
  void advance(Duration by) { now_ += by; }

 private:
  Time now_;
};

// RFC 3339 in UTC with whole seconds, as Kubernetes writes it: 2026-11-20T12:34:56Z.
std::string format_rfc3339(Time time);
// With all nine digits of the fraction: 2026-11-20T12:34:56.012345678Z.
std::string format_rfc3339_nano(Time time);
std::optional<Time> parse_rfc3339(std::string_view text);

// Go durations ("1h30m", "1.5s", "300ms"); nullopt when malformed. "0" is zero.
std::optional<Duration> parse_duration(std::string_view text);

double seconds(Duration duration);

// Waits so long, or until it is asked to stop: false then.
bool pause(const std::stop_token& stop, Duration duration);

// This start of the machine; "unknown" where the kernel does not say.
std::string boot_id();

}  // namespace kiln
