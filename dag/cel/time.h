#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "dag/cel/value.h"

// Timestamps and durations as text and as calendar fields (langdef, "Abstract Types").
namespace kiln::cel {

// RFC 3339 with any number of fractional digits. nullopt for another form, a day that does not exist, or a
// year outside 1 … 9999.
std::optional<Timestamp> parse_timestamp(std::string_view text);
std::string format_timestamp(Timestamp timestamp);  // UTC, "2009-02-13T23:31:30.5Z"

// "1h34us", "-1.5h", "0"; units h, m, s, ms, us (µs) and ns.
std::optional<Duration> parse_duration(std::string_view text);
std::string format_duration(Duration duration);  // seconds: "60.001s"

bool in_range(Timestamp timestamp);
// nullopt when the result is out of range.
std::optional<Timestamp> add(Timestamp timestamp, Duration duration);
std::optional<Duration> subtract(Timestamp a, Timestamp b);

struct CalendarFields {
  int64_t year = 0;
  int month = 0, day = 0;  // from 0
  int day_of_week = 0;     // Sunday is 0
  int day_of_year = 0;     // from 0
  int hour = 0, minute = 0, second = 0, millisecond = 0;
};
CalendarFields calendar_fields(Timestamp timestamp, int64_t seconds_east_of_utc);

// "+05:30", "-08:00", "02:00" as seconds. nullopt for another form.
std::optional<int64_t> parse_utc_offset(std::string_view text);

}  // namespace kiln::cel
