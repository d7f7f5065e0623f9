#include "dag/cel/value.h"

#include <algorithm>
#include <cmath>
#include <compare>
#include <numeric>
#include <optional>

namespace kiln::cel {
namespace {

using Kind = Value::Kind;

constexpr size_t kSearchedOneByOne = 8;
constexpr double kTwoTo63 = 9223372036854775808.0;
constexpr double kTwoTo64 = 18446744073709551616.0;

// Numbers are one key space: sign and magnitude.
struct NumberKey {
  bool negative;
  uint64_t bits;
  bool operator==(const NumberKey&) const = default;
  auto operator<=>(const NumberKey& other) const {
    if (negative != other.negative)
      return negative ? std::strong_ordering::less : std::strong_ordering::greater;
    return bits <=> other.bits;  // two's complement keeps the order among negative ones, too
  }
};

std::optional<NumberKey> number_key(const Value& value) {
  switch (value.kind()) {
    case Kind::Int:
      return NumberKey{value.as_int() < 0, static_cast<uint64_t>(value.as_int())};
    case Kind::Uint:
      return NumberKey{false, value.as_uint()};
    case Kind::Double: {
      const double number = value.as_double();
      if (!(number >= -kTwoTo63 && number < kTwoTo64) || std::trunc(number) != number) return std::nullopt;
      if (number < 0) return NumberKey{true, static_cast<uint64_t>(static_cast<int64_t>(number))};
      return NumberKey{false, static_cast<uint64_t>(number)};
    }
    default:
      return std::nullopt;
  }
}

std::strong_ordering order(const std::string& a, const std::string& b) {
  return a.compare(b) <=> 0;
}

std::strong_ordering order_keys(const Value& a, const Value& b) {
  const auto rank = [](const Value& key) { return key.is(Kind::Bool) ? 0 : is_number(key) ? 1 : 2; };
  if (const auto ranks = rank(a) <=> rank(b); ranks != 0) return ranks;
  if (a.is(Kind::Bool)) return a.as_bool() <=> b.as_bool();
  if (a.is(Kind::String)) return order(a.as_string(), b.as_string());
  return *number_key(a) <=> *number_key(b);
}

bool is_key_to_look_for(const Value& value) {
  return Map::is_key(value) || (value.is(Kind::Double) && number_key(value));
}

// An integer is compared to a double as a double, which loses the low bits of a large one; the conformance
// tests of cel-spec want it so ("lossy").
std::partial_ordering compare_double_int(double a, int64_t b) {
  return a <=> static_cast<double>(b);
}

std::partial_ordering compare_double_uint(double a, uint64_t b) {
  return a <=> static_cast<double>(b);
}

std::partial_ordering reversed(std::partial_ordering ordering) {
  return 0 <=> ordering;
}

bool take(uint64_t& budget, uint64_t steps) {
  budget = budget > steps ? budget - steps : 0;
  return budget > 0;
}

bool equal_lists(const Value::List& a, const Value::List& b, uint64_t& budget) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i)
    if (!equal(a[i], b[i], budget)) return false;
  return true;
}

bool equal_maps(const Map& a, const Map& b, uint64_t& budget) {
  if (a.size() != b.size()) return false;
  for (const auto& [key, value] : a.entries()) {
    if (key.is(Kind::String) && !take(budget, key.as_string().size() / 4)) return false;
    const Value* other = b.find(key);
    if (!other || !equal(value, *other, budget)) return false;
  }
  return true;
}

bool equal_texts(const std::string& a, const std::string& b, uint64_t& budget) {
  return a.size() == b.size() && take(budget, a.size() / 16) && a == b;
}

bool is_nan(const Value& value) {
  return value.is(Kind::Double) && std::isnan(value.as_double());
}

}  // namespace

Value Value::string(std::string text) {
  return Value(Storage(Text{std::make_shared<const std::string>(std::move(text))}));
}

Value Value::bytes(std::string octets) {
  return Value(Storage(Octets{std::make_shared<const std::string>(std::move(octets))}));
}

Value Value::list(List items) {
  size_t deepest = 0;
  for (const Value& item : items) deepest = std::max(deepest, item.depth());
  return Value(Storage(std::make_shared<const Items>(Items{std::move(items), deepest + 1})));
}

Value Value::map(Map map) {
  return Value(Storage(std::make_shared<const Map>(std::move(map))));
}

size_t Value::depth() const {
  if (is(Kind::List)) return (*std::get_if<SharedList>(&storage_))->depth;
  return is(Kind::Map) ? as_map().depth() : 0;
}

bool Value::operator==(const Value& other) const {
  uint64_t budget = UINT64_MAX;
  return equal(*this, other, budget);
}

Map::Map(std::vector<Entry> entries) : entries_(std::move(entries)) {
  for (const Entry& entry : entries_) depth_ = std::max(depth_, entry.second.depth() + 1);
  if (entries_.size() <= kSearchedOneByOne) return;
  sorted_.resize(entries_.size());
  std::iota(sorted_.begin(), sorted_.end(), 0u);
  std::sort(sorted_.begin(), sorted_.end(),
            [&](uint32_t a, uint32_t b) { return order_keys(entries_[a].first, entries_[b].first) < 0; });
}

bool Map::is_key(const Value& value) {
  return value.is(Kind::String) || value.is(Kind::Int) || value.is(Kind::Uint) || value.is(Kind::Bool);
}

const Value* Map::find(const Value& key) const {
  if (!is_key_to_look_for(key)) return nullptr;
  if (sorted_.empty()) {
    for (const auto& [candidate, value] : entries_)
      if (order_keys(candidate, key) == 0) return &value;
    return nullptr;
  }
  const auto at = std::lower_bound(
      sorted_.begin(), sorted_.end(), key,
      [&](uint32_t entry, const Value& wanted) { return order_keys(entries_[entry].first, wanted) < 0; });
  if (at == sorted_.end() || order_keys(entries_[*at].first, key) != 0) return nullptr;
  return &entries_[*at].second;
}

const Value* Map::find(std::string_view key) const {
  if (sorted_.empty()) {
    for (const auto& [candidate, value] : entries_)
      if (candidate.is(Kind::String) && candidate.as_string() == key) return &value;
    return nullptr;
  }
  const auto before = [&](uint32_t entry, std::string_view wanted) {
    const Value& candidate = entries_[entry].first;
    return !candidate.is(Kind::String) || candidate.as_string() < wanted;  // strings sort last
  };
  const auto at = std::lower_bound(sorted_.begin(), sorted_.end(), key, before);
  if (at == sorted_.end() || entries_[*at].first.as_string() != key) return nullptr;
  return &entries_[*at].second;
}

const Value* Map::repeated_key() const {
  for (size_t i = 1; i < sorted_.size(); ++i) {
    const Value& key = entries_[sorted_[i]].first;
    if (order_keys(entries_[sorted_[i - 1]].first, key) == 0) return &key;
  }
  if (!sorted_.empty()) return nullptr;
  for (size_t i = 0; i < entries_.size(); ++i)
    for (size_t j = 0; j < i; ++j)
      if (order_keys(entries_[i].first, entries_[j].first) == 0) return &entries_[i].first;
  return nullptr;
}

std::string_view type_name(Kind kind) {
  switch (kind) {
    case Kind::Null:
      return "null_type";
    case Kind::Bool:
      return "bool";
    case Kind::Int:
      return "int";
    case Kind::Uint:
      return "uint";
    case Kind::Double:
      return "double";
    case Kind::Timestamp:
      return "google.protobuf.Timestamp";
    case Kind::Duration:
      return "google.protobuf.Duration";
    case Kind::Type:
      return "type";
    case Kind::String:
      return "string";
    case Kind::Bytes:
      return "bytes";
    case Kind::List:
      return "list";
    case Kind::Map:
      return "map";
  }
  return "";
}

std::partial_ordering compare_numbers(const Value& a, const Value& b) {
  if (a.is(Kind::Double)) {
    if (b.is(Kind::Double)) return a.as_double() <=> b.as_double();
    return b.is(Kind::Int) ? compare_double_int(a.as_double(), b.as_int())
                           : compare_double_uint(a.as_double(), b.as_uint());
  }
  if (b.is(Kind::Double)) return reversed(compare_numbers(b, a));
  return *number_key(a) <=> *number_key(b);
}

bool equal(const Value& a, const Value& b, uint64_t& budget) {
  if (!take(budget, 1)) return false;
  if (is_number(a) && is_number(b)) return !is_nan(a) && !is_nan(b) && compare_numbers(a, b) == 0;
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::Bool:
      return a.as_bool() == b.as_bool();
    case Kind::Timestamp:
      return a.as_timestamp() == b.as_timestamp();
    case Kind::Duration:
      return a.as_duration() == b.as_duration();
    case Kind::Type:
      return a.as_type() == b.as_type();
    case Kind::String:
      return equal_texts(a.as_string(), b.as_string(), budget);
    case Kind::Bytes:
      return equal_texts(a.as_bytes(), b.as_bytes(), budget);
    case Kind::List:
      return equal_lists(a.as_list(), b.as_list(), budget);
    case Kind::Map:
      return equal_maps(a.as_map(), b.as_map(), budget);
    default:
      return true;  // null
  }
}

}  // namespace kiln::cel
