#include "base/clock.h"

#include <charconv>
#include <cmath>
#include <condition_variable>
#include <cstdio>
#include <ctime>
#include <mutex>

#include "base/error.h"
#include "base/fs.h"
#include "base/text.h"

namespace kiln {
namespace {

class SystemClock final : public Clock {
 public:
  Time now() const override {
    return std::chrono::time_point_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now());
  }
};

}  // namespace

const Clock& system_clock() {
  static const SystemClock clock;
  return clock;
}

std::string format_rfc3339(Time time) {
  const std::time_t whole = std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
  std::tm parts{};
  ::gmtime_r(&whole, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

std::string format_rfc3339_nano(Time time) {
  std::string text = format_rfc3339(time);
  const auto fraction = (time - std::chrono::floor<std::chrono::seconds>(time)).count();
  char digits[16];
  std::snprintf(digits, sizeof digits, ".%09lld", static_cast<long long>(fraction));
  return text.insert(text.size() - 1, digits);
}

std::optional<Time> parse_rfc3339(std::string_view text) {
  std::tm parts{};
  const std::string copy(text);
  const char* rest = ::strptime(copy.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  if (!rest) return std::nullopt;
  Duration fraction{};
  if (*rest == '.') {
    long long scale = 100'000'000;
    for (++rest; *rest >= '0' && *rest <= '9'; ++rest, scale /= 10)
      fraction += Duration((*rest - '0') * scale);
  }
  long offset = 0;
  if (*rest == 'Z' && rest[1] == '\0') {
  } else if (int hours, minutes;
             (*rest == '+' || *rest == '-') && std::sscanf(rest + 1, "%2d:%2d", &hours, &minutes) == 2) {
    offset = (*rest == '-' ? -1 : 1) * (hours * 3600L + minutes * 60L);
  } else {
    return std::nullopt;
  }
  return Time(std::chrono::seconds(::timegm(&parts) - offset)) + fraction;
}

std::optional<Duration> parse_duration(std::string_view text) {
  if (text == "0") return Duration{};
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  if (text.empty()) return std::nullopt;
  double total = 0;
  while (!text.empty()) {
    double number = 0;
    const size_t digits = text.find_first_not_of("0123456789.");
    if (digits == 0 || digits == std::string_view::npos) return std::nullopt;
    auto [end, error] = std::from_chars(text.data(), text.data() + digits, number);
    if (error != std::errc{} || end != text.data() + digits) return std::nullopt;
    text.remove_prefix(digits);
    constexpr struct {
      std::string_view name;
      double nanoseconds;
    } kUnits[] = {{"ns", 1},   {"us", 1e3}, {"µs", 1e3}, {"μs", 1e3},
                  {"ms", 1e6}, {"s", 1e9},  {"m", 60e9}, {"h", 3600e9}};
    const auto* unit = std::begin(kUnits);
    while (unit != std::end(kUnits) && !text.starts_with(unit->name)) ++unit;
    if (unit == std::end(kUnits)) return std::nullopt;
    text.remove_prefix(unit->name.size());
    total += number * unit->nanoseconds;
  }
  if (total > 9.2e18) return std::nullopt;
  return Duration(std::llround(negative ? -total : total));
}

std::string boot_id() {
  try {
    return std::string(trim(read_file("/proc/sys/kernel/random/boot_id", 256)));
  } catch (const Error&) {
    return "unknown";
  }
}

double seconds(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

bool pause(const std::stop_token& stop, Duration duration) {
  std::mutex mutex;
  std::unique_lock lock(mutex);
  std::condition_variable_any never;
  never.wait_for(lock, stop, duration, [] { return false; });
  return !stop.stop_requested();
}

}  // namespace kiln
