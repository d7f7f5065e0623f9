#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kiln {

// A time zone of the IANA database: the content of a TZif file (RFC 8536). Immutable.
class TimeZone {
 public:
  // nullopt for what is no TZif file.
  static std::optional<TimeZone> parse(std::string_view tzif);

  // Seconds east of UTC at that second since 1970-01-01T00:00:00Z.
  int64_t offset_at(int64_t second) const;

 private:
  // A day of the year at which the clock changes: "M3.5.0/2" in the file's footer.
  struct Change {
    enum class Form { Weekday, DayOfYear, DayOfYearWithoutLeapDay };
    Form form = Form::Weekday;
    int month = 0, week = 0, day = 0;
    int64_t second_of_day = 7200;

    int64_t in_year(int year) const;  // seconds since 1970, on the local clock
  };
  // What holds after the last transition that the file lists.
  struct Rule {
    int64_t standard = 0, summer = 0;
    std::optional<std::pair<Change, Change>> changes;  // to summer time and back
    int64_t offset_at(int64_t second) const;
  };
  struct RuleReader;

  std::vector<int64_t> transitions_;  // ascending
  std::vector<int64_t> offsets_;      // in force from the transition of the same index
  int64_t first_ = 0;                 // in force before any
  std::optional<Rule> rule_;
};

// The zone of that name ("Europe/Berlin") in the machine's database, read once. nullptr for an unknown one.
// Thread-safe.
std::shared_ptr<const TimeZone> find_time_zone(std::string_view name);

}  // namespace kiln
