// Accessors of timestamps and durations: langdef, "Standard Definitions".
#include <algorithm>

#include "dag/cel/function.h"
#include "dag/cel/time.h"

namespace kiln::cel {
namespace {

using Arguments = std::span<const Value>;

// Seconds east of UTC of "+02:00" or "Europe/Berlin"; reports what is neither.
std::optional<int64_t> offset_of(Context& context, Timestamp timestamp, const std::string& zone) {
  const auto fixed = parse_utc_offset(zone);
  if (fixed) return fixed;
  if (zone == "UTC" || zone.empty()) return 0;
  if (!context.charge(50)) return std::nullopt;
  const auto named =
      zone.find(':') == std::string::npos ? context.zones().offset(zone, timestamp.seconds) : std::nullopt;
  if (!named) context.fail("unknown time zone " + zone.substr(0, 100));
  return named;
}

using Accessor = int64_t (*)(const CalendarFields&);

Implementation field(Accessor accessor) {
  return [accessor](Context& context, Arguments arguments) -> Value {
    const Timestamp timestamp = arguments[0].as_timestamp();
    int64_t offset = 0;
    if (arguments.size() > 1) {
      const auto found = offset_of(context, timestamp, arguments[1].as_string());
      if (!found) return {};
      offset = *found;
    }
    return Value::integer(accessor(calendar_fields(timestamp, offset)));
  };
}

Implementation whole(int64_t nanos_per_unit) {
  return [nanos_per_unit](Context&, Arguments arguments) {
    return Value::integer(arguments[0].as_duration().nanos / nanos_per_unit);
  };
}

Value milliseconds_part(Context&, Arguments arguments) {
  return Value::integer(arguments[0].as_duration().nanos / 1'000'000 % 1000);
}

}  // namespace

void add_time_functions(Functions& functions) {
  const auto of_timestamp = [&](std::string_view name, Accessor accessor) {
    const Type at = Type::timestamp();
    functions.add(name, {Overload::Style::Member, {at}, Type::integer(), field(accessor)});
    functions.add(name, {Overload::Style::Member, {at, Type::string()}, Type::integer(), field(accessor)});
  };
  const auto of_duration = [&](std::string_view name, Implementation implementation) {
    functions.add(name,
                  {Overload::Style::Member, {Type::duration()}, Type::integer(), std::move(implementation)});
  };
  using Fields = CalendarFields;
  of_timestamp("getFullYear", [](const Fields& at) { return at.year; });
  of_timestamp("getMonth", [](const Fields& at) -> int64_t { return at.month; });
  of_timestamp("getDate", [](const Fields& at) -> int64_t { return at.day + 1; });
  of_timestamp("getDayOfMonth", [](const Fields& at) -> int64_t { return at.day; });
  of_timestamp("getDayOfWeek", [](const Fields& at) -> int64_t { return at.day_of_week; });
  of_timestamp("getDayOfYear", [](const Fields& at) -> int64_t { return at.day_of_year; });
  of_timestamp("getHours", [](const Fields& at) -> int64_t { return at.hour; });
  of_timestamp("getMinutes", [](const Fields& at) -> int64_t { return at.minute; });
  of_timestamp("getSeconds", [](const Fields& at) -> int64_t { return at.second; });
  of_timestamp("getMilliseconds", [](const Fields& at) -> int64_t { return at.millisecond; });
  of_duration("getHours", whole(3'600'000'000'000));
  of_duration("getMinutes", whole(60'000'000'000));
  of_duration("getSeconds", whole(1'000'000'000));
  of_duration("getMilliseconds", milliseconds_part);
}

}  // namespace kiln::cel
