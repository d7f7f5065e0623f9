#include "base/time_zone.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <mutex>

#include "base/error.h"
#include "base/fs.h"

namespace kiln {
namespace {

constexpr std::string_view kDatabase = "/usr/share/zoneinfo/";
constexpr int64_t kSecondsPerDay = 86400;

// Big-endian numbers off the front of a file.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}

  bool has(size_t bytes) const { return rest_.size() >= bytes; }
  void skip(size_t bytes) { rest_.remove_prefix(std::min(bytes, rest_.size())); }
  std::string_view rest() const { return rest_; }

  int64_t number(size_t bytes) {
    if (!has(bytes)) {
      skip(bytes);
      return 0;
    }
    const bool negative = (rest_.front() & 0x80) != 0;
    uint64_t out = negative ? UINT64_MAX : 0;
    for (size_t i = 0; i < bytes; ++i) out = out << 8 | static_cast<unsigned char>(rest_[i]);
    skip(bytes);
    return static_cast<int64_t>(out);
  }

 private:
  std::string_view rest_;
};

struct Header {
  char version = 0;
  size_t utc_flags = 0, standard_flags = 0, leap_seconds = 0, transitions = 0, types = 0, name_bytes = 0;

  size_t body_bytes(size_t time_bytes) const {
    return transitions * (time_bytes + 1) + types * 6 + name_bytes + leap_seconds * (time_bytes + 4) +
           standard_flags + utc_flags;
  }
};

std::optional<Header> read_header(Reader& reader) {
  constexpr size_t kBytes = 44;
  constexpr int64_t kMost = 100'000;
  if (!reader.has(kBytes) || !reader.rest().starts_with("TZif")) return std::nullopt;
  Header out;
  out.version = reader.rest()[4];
  reader.skip(20);
  for (size_t* count : {&out.utc_flags, &out.standard_flags, &out.leap_seconds, &out.transitions, &out.types,
                        &out.name_bytes}) {
    const int64_t value = reader.number(4);
    if (value < 0 || value > kMost) return std::nullopt;
    *count = static_cast<size_t>(value);
  }
  return out;
}

bool is_zone_name(std::string_view name) {
  const auto is_allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '+' || c == '/';
  };
  return !name.empty() && name.size() <= 64 && name.front() != '/' &&
         std::all_of(name.begin(), name.end(), is_allowed);
}

std::shared_ptr<const TimeZone> load(std::string_view name) {
  try {
    auto zone = TimeZone::parse(read_file(std::string(kDatabase) + std::string(name)));
    return zone ? std::make_shared<const TimeZone>(std::move(*zone)) : nullptr;
  } catch (const Error&) {
    return nullptr;  // no such file: no such zone
  }
}

int year_of(int64_t second) {
  using namespace std::chrono;
  return static_cast<int>(year_month_day(floor<days>(sys_seconds(seconds(second)))).year());
}

}  // namespace

// A POSIX TZ string: "CET-1CEST,M3.5.0,M10.5.0/3".
struct TimeZone::RuleReader {
  std::string_view text;

  bool take(char c) {
    if (!text.starts_with(c)) return false;
    text.remove_prefix(1);
    return true;
  }

  bool name() {
    const bool quoted = take('<');
    size_t length = 0;
    const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
    while (length < text.size() && (quoted ? text[length] != '>' : is_letter(text[length]))) ++length;
    text.remove_prefix(length);
    return (!quoted || take('>')) && length > 0;
  }

  std::optional<int> number() {
    int out = 0;
    size_t digits = 0;
    for (; digits < 4 && !text.empty() && text.front() >= '0' && text.front() <= '9'; ++digits) {
      out = out * 10 + (text.front() - '0');
      text.remove_prefix(1);
    }
    return digits > 0 ? std::optional(out) : std::nullopt;
  }

  // "-5:30:00" as seconds.
  std::optional<int64_t> time() {
    const int64_t sign = take('-') ? -1 : 1;
    if (sign > 0) take('+');
    int64_t out = 0;
    int64_t unit = 3600;
    do {
      const auto part = number();
      if (!part) return std::nullopt;
      out += *part * unit;
      unit /= 60;
    } while (unit > 0 && take(':'));
    return sign * out;
  }

  std::optional<Change> change() {
    Change out;
    if (!take(',')) return std::nullopt;
    if (take('M')) {
      const auto month = number();
      if (!month || !take('.')) return std::nullopt;
      const auto week = number();
      if (!week || !take('.')) return std::nullopt;
      const auto day = number();
      if (!day || *month < 1 || *month > 12 || *week < 1 || *week > 5 || *day > 6) return std::nullopt;
      out.month = *month;
      out.week = *week;
      out.day = *day;
    } else {
      out.form = take('J') ? Change::Form::DayOfYearWithoutLeapDay : Change::Form::DayOfYear;
      const auto day = number();
      if (!day || *day > 365) return std::nullopt;
      out.day = *day;
    }
    if (!take('/')) return out;
    const auto second = time();
    if (!second) return std::nullopt;
    out.second_of_day = *second;
    return out;
  }

  std::optional<Rule> rule() {
    Rule out;
    if (!name()) return std::nullopt;
    const auto standard = time();
    if (!standard) return std::nullopt;
    out.standard = -*standard;  // POSIX counts westwards
    out.summer = out.standard + 3600;
    if (text.empty()) return out;
    if (!name()) return std::nullopt;
    if (!text.starts_with(',')) {
      const auto summer = time();
      if (!summer) return std::nullopt;
      out.summer = -*summer;
    }
    const auto begin = change();
    const auto end = change();
    if (!begin || !end || !text.empty()) return std::nullopt;
    out.changes.emplace(*begin, *end);
    return out;
  }
};

int64_t TimeZone::Change::in_year(int number) const {
  using namespace std::chrono;
  const year in(number);
  sys_days date;
  if (form == Form::Weekday) {
    const auto of_month = std::chrono::month(static_cast<unsigned>(month));
    const weekday of_week(static_cast<unsigned>(day));
    date = week == 5 ? sys_days(in / of_month / of_week[last])
                     : sys_days(in / of_month / of_week[static_cast<unsigned>(week)]);
  } else {
    const bool skips = form == Form::DayOfYearWithoutLeapDay;
    const int leap = skips && in.is_leap() && day >= 60 ? 1 : 0;
    date = sys_days(in / January / 1) + days(day - (skips ? 1 : 0) + leap);
  }
  return date.time_since_epoch().count() * kSecondsPerDay + second_of_day;
}

int64_t TimeZone::Rule::offset_at(int64_t second) const {
  if (!changes) return standard;
  const int year = year_of(second + standard);
  const int64_t begin = changes->first.in_year(year) - standard;
  const int64_t end = changes->second.in_year(year) - summer;
  // South of the equator summer spans the turn of the year.
  const bool is_summer = begin < end ? second >= begin && second < end : second >= begin || second < end;
  return is_summer ? summer : standard;
}

std::optional<TimeZone> TimeZone::parse(std::string_view tzif) {
  Reader reader(tzif);
  auto header = read_header(reader);
  if (!header) return std::nullopt;
  size_t time_bytes = 4;
  if (header->version >= '2') {  // the same again with larger numbers
    reader.skip(header->body_bytes(4));
    header = read_header(reader);
    time_bytes = 8;
  }
  if (!header || header->types == 0 || !reader.has(header->body_bytes(time_bytes))) return std::nullopt;
  TimeZone out;
  for (size_t i = 0; i < header->transitions; ++i) out.transitions_.push_back(reader.number(time_bytes));
  std::vector<size_t> types;
  for (size_t i = 0; i < header->transitions; ++i)
    types.push_back(static_cast<size_t>(reader.number(1)) & 0xFF);
  std::vector<int64_t> offsets;
  for (size_t i = 0; i < header->types; ++i) {
    offsets.push_back(reader.number(4));
    reader.skip(2);
  }
  out.first_ = offsets.front();
  for (const size_t type : types) {
    if (type >= offsets.size()) return std::nullopt;
    out.offsets_.push_back(offsets[type]);
  }
  if (!std::is_sorted(out.transitions_.begin(), out.transitions_.end())) return std::nullopt;
  reader.skip(header->name_bytes + header->leap_seconds * (time_bytes + 4) + header->standard_flags +
              header->utc_flags);
  if (time_bytes == 8 && reader.rest().starts_with('\n')) {
    const std::string_view footer = reader.rest().substr(1);
    out.rule_ = RuleReader{footer.substr(0, footer.find('\n'))}.rule();
  }
  return out;
}

int64_t TimeZone::offset_at(int64_t second) const {
  const auto after = std::upper_bound(transitions_.begin(), transitions_.end(), second);
  if (after == transitions_.end() && rule_) return rule_->offset_at(second);
  if (after == transitions_.begin()) return first_;
  return offsets_[static_cast<size_t>(after - transitions_.begin()) - 1];
}

std::shared_ptr<const TimeZone> find_time_zone(std::string_view name) {
  static std::mutex mutex;
  static std::map<std::string, std::shared_ptr<const TimeZone>, std::less<>> known;
  if (!is_zone_name(name)) return nullptr;
  {
    const std::lock_guard lock(mutex);
    const auto at = known.find(name);
    if (at != known.end()) return at->second;
  }
  std::shared_ptr<const TimeZone> zone = load(name);
  if (!zone) return nullptr;  // not kept: strangers may ask for any name
  const std::lock_guard lock(mutex);
  return known.emplace(name, std::move(zone)).first->second;
}

}  // namespace kiln
