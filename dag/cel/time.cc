#include "dag/cel/time.h"

#include <array>
#include <chrono>
#include <cstdlib>
#include <limits>

namespace kiln::cel {
namespace {

constexpr int64_t kFirstSecond = -62135596800;  // 0001-01-01T00:00:00Z
constexpr int64_t kLastSecond = 253402300799;   // 9999-12-31T23:59:59Z
constexpr int64_t kNanosPerSecond = 1'000'000'000;
constexpr int64_t kSecondsPerDay = 86400;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// Reads exactly `count` digits off the front.
std::optional<int> take_digits(std::string_view& text, size_t count) {
  if (text.size() < count) return std::nullopt;
  int out = 0;
  for (size_t i = 0; i < count; ++i) {
    if (!is_digit(text[i])) return std::nullopt;
    out = out * 10 + (text[i] - '0');
  }
  text.remove_prefix(count);
  return out;
}

bool take(std::string_view& text, char c) {
  if (!text.starts_with(c)) return false;
  text.remove_prefix(1);
  return true;
}

// ".123" as nanoseconds; further digits are cut off.
std::optional<int32_t> take_fraction(std::string_view& text) {
  if (!take(text, '.')) return 0;
  if (text.empty() || !is_digit(text.front())) return std::nullopt;
  int32_t nanos = 0;
  size_t digits = 0;
  for (; !text.empty() && is_digit(text.front()); text.remove_prefix(1), ++digits)
    if (digits < 9) nanos = nanos * 10 + (text.front() - '0');
  for (; digits < 9; ++digits) nanos *= 10;
  return nanos;
}

// "Z", "+01:00": seconds east of UTC.
std::optional<int64_t> take_zone(std::string_view& text) {
  if (take(text, 'Z') || take(text, 'z')) return 0;
  if (text.empty() || (text.front() != '+' && text.front() != '-')) return std::nullopt;
  const int64_t sign = text.front() == '-' ? -1 : 1;
  text.remove_prefix(1);
  const auto hours = take_digits(text, 2);
  if (!hours || !take(text, ':')) return std::nullopt;
  const auto minutes = take_digits(text, 2);
  if (!minutes || *hours > 23 || *minutes > 59) return std::nullopt;
  return sign * (*hours * 3600 + *minutes * 60);
}

std::optional<int64_t> take_day(std::string_view& text) {
  const auto year = take_digits(text, 4);
  if (!year || !take(text, '-')) return std::nullopt;
  const auto month = take_digits(text, 2);
  if (!month || !take(text, '-')) return std::nullopt;
  const auto day = take_digits(text, 2);
  if (!day) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(*year),
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok()) return std::nullopt;
  return std::chrono::sys_days(date).time_since_epoch().count();
}

std::optional<int64_t> take_second_of_day(std::string_view& text) {
  const auto hour = take_digits(text, 2);
  if (!hour || !take(text, ':')) return std::nullopt;
  const auto minute = take_digits(text, 2);
  if (!minute || !take(text, ':')) return std::nullopt;
  const auto second = take_digits(text, 2);
  if (!second || *hour > 23 || *minute > 59 || *second > 59) return std::nullopt;
  return *hour * 3600 + *minute * 60 + *second;
}

std::string two_digits(int64_t number) {
  return {static_cast<char>('0' + number / 10 % 10), static_cast<char>('0' + number % 10)};
}

// ".5" for 500,000,000, nothing for 0.
std::string fraction(int64_t nanos) {
  if (nanos == 0) return {};
  std::string digits = std::to_string(nanos + kNanosPerSecond);
  digits.front() = '.';
  return digits.substr(0, digits.find_last_not_of('0') + 1);
}

struct Unit {
  std::string_view name;
  int64_t nanos;
};
// A unit stands before any that is its beginning.
constexpr std::array<Unit, 8> kUnits{{{"ns", 1},
                                      {"us", 1'000},
                                      {"µs", 1'000},
                                      {"μs", 1'000},
                                      {"ms", 1'000'000},
                                      {"s", kNanosPerSecond},
                                      {"m", 60 * kNanosPerSecond},
                                      {"h", 3600 * kNanosPerSecond}}};

std::optional<int64_t> take_unit(std::string_view& text) {
  for (const Unit& unit : kUnits) {
    if (!text.starts_with(unit.name)) continue;
    text.remove_prefix(unit.name.size());
    return unit.nanos;
  }
  return std::nullopt;
}

__extension__ typedef __int128 Wide;
constexpr Wide kMostNanos = static_cast<Wide>(std::numeric_limits<int64_t>::max()) + 1;

// "1.5h" off the front, in nanoseconds.
std::optional<Wide> take_duration_part(std::string_view& text) {
  Wide whole = 0;
  Wide part = 0;
  Wide scale = 1;
  size_t digits = 0;
  for (; !text.empty() && is_digit(text.front()); text.remove_prefix(1), ++digits) {
    whole = whole * 10 + (text.front() - '0');
    if (whole > kMostNanos) return std::nullopt;
  }
  if (take(text, '.')) {
    for (; !text.empty() && is_digit(text.front()); text.remove_prefix(1), ++digits) {
      if (scale >= 1'000'000'000'000'000) continue;  // less than a nanosecond of an hour
      part = part * 10 + (text.front() - '0');
      scale *= 10;
    }
  }
  const auto unit = take_unit(text);
  if (digits == 0 || !unit) return std::nullopt;
  return whole * *unit + part * *unit / scale;
}

std::optional<Duration> to_duration(Wide nanos) {
  if (nanos < -kMostNanos || nanos >= kMostNanos) return std::nullopt;
  return Duration{static_cast<int64_t>(nanos)};
}

}  // namespace

bool in_range(Timestamp timestamp) {
  return timestamp.seconds >= kFirstSecond && timestamp.seconds <= kLastSecond;
}

std::optional<Timestamp> parse_timestamp(std::string_view text) {
  const auto day = take_day(text);
  if (!day || !(take(text, 'T') || take(text, 't'))) return std::nullopt;
  const auto second = take_second_of_day(text);
  if (!second) return std::nullopt;
  const auto nanos = take_fraction(text);
  if (!nanos) return std::nullopt;
  const auto zone = take_zone(text);
  if (!zone || !text.empty()) return std::nullopt;
  const Timestamp out{*day * kSecondsPerDay + *second - *zone, *nanos};
  if (!in_range(out)) return std::nullopt;
  return out;
}

std::string format_timestamp(Timestamp timestamp) {
  const CalendarFields at = calendar_fields(timestamp, 0);
  return two_digits(at.year / 100) + two_digits(at.year) + '-' + two_digits(at.month + 1) + '-' +
         two_digits(at.day + 1) + 'T' + two_digits(at.hour) + ':' + two_digits(at.minute) + ':' +
         two_digits(at.second) + fraction(timestamp.nanos) + 'Z';
}

std::optional<Duration> parse_duration(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  if (text == "0") return Duration{};
  if (text.empty()) return std::nullopt;
  Wide nanos = 0;
  while (!text.empty()) {
    const auto part = take_duration_part(text);
    if (!part) return std::nullopt;
    nanos += *part;
    if (nanos > kMostNanos) return std::nullopt;
  }
  return to_duration(negative ? -nanos : nanos);
}

std::string format_duration(Duration duration) {
  const int64_t seconds = duration.nanos / kNanosPerSecond;
  const int64_t nanos = std::abs(duration.nanos % kNanosPerSecond);
  return (duration.nanos < 0 ? "-" : "") + std::to_string(std::abs(seconds)) + fraction(nanos) + "s";
}

std::optional<Timestamp> add(Timestamp timestamp, Duration duration) {
  const Wide nanos =
      static_cast<Wide>(timestamp.seconds) * kNanosPerSecond + timestamp.nanos + duration.nanos;
  Wide seconds = nanos / kNanosPerSecond;
  Wide rest = nanos % kNanosPerSecond;
  if (rest < 0) {
    rest += kNanosPerSecond;
    --seconds;
  }
  const Timestamp out{static_cast<int64_t>(seconds), static_cast<int32_t>(rest)};
  if (!in_range(out)) return std::nullopt;
  return out;
}

std::optional<Duration> subtract(Timestamp a, Timestamp b) {
  return to_duration(static_cast<Wide>(a.seconds - b.seconds) * kNanosPerSecond + a.nanos - b.nanos);
}

CalendarFields calendar_fields(Timestamp timestamp, int64_t seconds_east_of_utc) {
  using namespace std::chrono;
  const sys_seconds local{seconds(timestamp.seconds + seconds_east_of_utc)};
  const sys_days day = floor<days>(local);
  const year_month_day date(day);
  const int64_t second = (local - day).count();
  CalendarFields out;
  out.year = static_cast<int>(date.year());
  out.month = static_cast<int>(static_cast<unsigned>(date.month())) - 1;
  out.day = static_cast<int>(static_cast<unsigned>(date.day())) - 1;
  out.day_of_week = static_cast<int>(weekday(day).c_encoding());
  out.day_of_year = static_cast<int>((day - sys_days(date.year() / January / 1)).count());
  out.hour = static_cast<int>(second / 3600);
  out.minute = static_cast<int>(second / 60 % 60);
  out.second = static_cast<int>(second % 60);
  out.millisecond = timestamp.nanos / 1'000'000;
  return out;
}

std::optional<int64_t> parse_utc_offset(std::string_view text) {
  const int64_t sign = text.starts_with('-') ? -1 : 1;
  if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
  const auto hours = take_digits(text, 2);
  if (!hours || !take(text, ':')) return std::nullopt;
  const auto minutes = take_digits(text, 2);
  if (!minutes || !text.empty() || *hours > 23 || *minutes > 59) return std::nullopt;
  return sign * (*hours * 3600 + *minutes * 60);
}

}  // namespace kiln::cel
