#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <tuple>

#include "base/clock.h"

namespace kiln::registry {

// What the embedded registry has done since it began, as Prometheus reads it (text format 0.0.4). Labels take
// few values, none of them chosen by clients. Thread-safe.
class RegistryMetrics {
 public:
  void request_began() { ++in_flight_; }
  // `endpoint`: "manifests", "blobs", …; `method` as it came: unknown ones count as "other".
  void request_ended(std::string_view endpoint, std::string_view method, int status, Duration took);
  void sent(uint64_t bytes) { sent_ += bytes; }          // of blobs
  void received(uint64_t bytes) { received_ += bytes; }  // of blobs
  std::string text() const;

  static constexpr std::array<double, 9> kBuckets{0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30};  // seconds

 private:
  struct Times {
    std::array<uint64_t, kBuckets.size()> within{};
    uint64_t count = 0;
    double seconds = 0;
  };

  std::atomic<int64_t> in_flight_{0};
  std::atomic<uint64_t> sent_{0}, received_{0};
  mutable std::mutex mutex_;
  std::map<std::tuple<std::string, std::string, int>, uint64_t> requests_;
  std::map<std::pair<std::string, std::string>, Times> times_;
};

// Lines of one metric without labels, with its help: for what the server adds of its own.
std::string metric_lines(std::string_view name, std::string_view type, std::string_view help, double value);

}  // namespace kiln::registry
