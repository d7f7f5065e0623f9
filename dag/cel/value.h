#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

// CEL's values: null, bool, int, uint, double, string, bytes, list, map, timestamp, duration and type
// (langdef, "Values"). Immutable; a copy shares strings, lists and maps, so copying is cheap and reading from
// several threads is safe.
namespace kiln::cel {

class Map;

// A point in time, UTC, from year 1 to year 9999.
struct Timestamp {
  int64_t seconds = 0;  // since 1970-01-01T00:00:00Z
  int32_t nanos = 0;    // 0 … 999,999,999
  auto operator<=>(const Timestamp&) const = default;
};

// About ±292 years.
struct Duration {
  int64_t nanos = 0;
  auto operator<=>(const Duration&) const = default;
};

class Value {
 public:
  // The order is the variant's.
  enum class Kind : uint8_t {
    Null,
    Bool,
    Int,
    Uint,
    Double,
    Timestamp,
    Duration,
    Type,
    String,
    Bytes,
    List,
    Map
  };
  using List = std::vector<Value>;

  Value() = default;  // null
  static Value boolean(bool value) { return Value(Storage(value)); }
  static Value integer(int64_t value) { return Value(Storage(value)); }
  static Value unsigned_integer(uint64_t value) { return Value(Storage(value)); }
  static Value number(double value) { return Value(Storage(value)); }
  static Value timestamp(Timestamp value) { return Value(Storage(value)); }
  static Value duration(Duration value) { return Value(Storage(value)); }
  static Value type(Kind kind) { return Value(Storage(kind)); }  // the type of values of that kind
  static Value string(std::string text);                         // valid UTF-8
  static Value bytes(std::string octets);
  static Value list(List items);
  static Value map(Map map);

  Kind kind() const { return static_cast<Kind>(storage_.index()); }
  bool is(Kind kind) const { return this->kind() == kind; }

  // Each only for a value of that kind.
  bool as_bool() const { return *std::get_if<bool>(&storage_); }
  int64_t as_int() const { return *std::get_if<int64_t>(&storage_); }
  uint64_t as_uint() const { return *std::get_if<uint64_t>(&storage_); }
  double as_double() const { return *std::get_if<double>(&storage_); }
  Timestamp as_timestamp() const { return *std::get_if<Timestamp>(&storage_); }
  Duration as_duration() const { return *std::get_if<Duration>(&storage_); }
  Kind as_type() const { return *std::get_if<Kind>(&storage_); }
  const std::string& as_string() const { return *std::get_if<Text>(&storage_)->shared; }
  const std::string& as_bytes() const { return *std::get_if<Octets>(&storage_)->shared; }
  const List& as_list() const;
  const Map& as_map() const { return **std::get_if<SharedMap>(&storage_); }

  // How deep lists and maps are nested in it; 0 for all other values. What walks a value recurses so deep.
  size_t depth() const;

  // CEL's `==` (langdef, "Equality"): deep; numbers of different types compare by value; NaN equals nothing;
  // other values of different types are unequal.
  bool operator==(const Value& other) const;

 private:
  struct Text {
    std::shared_ptr<const std::string> shared;
  };
  struct Octets {
    std::shared_ptr<const std::string> shared;
  };
  struct Items;
  using SharedList = std::shared_ptr<const Items>;
  using SharedMap = std::shared_ptr<const Map>;
  using Storage = std::variant<std::monostate, bool, int64_t, uint64_t, double, Timestamp, Duration, Kind,
                               Text, Octets, SharedList, SharedMap>;
  explicit Value(Storage storage) : storage_(std::move(storage)) {}

  Storage storage_;
};

struct Value::Items {
  List items;
  size_t depth;
};

inline const Value::List& Value::as_list() const {
  return (*std::get_if<SharedList>(&storage_))->items;
}

// Entries in the order they were written, found by key. Keys are bool, int, uint and string; an int and a
// uint of the same value are the same key.
class Map {
 public:
  using Entry = std::pair<Value, Value>;

  Map() = default;
  explicit Map(std::vector<Entry> entries);

  size_t size() const { return entries_.size(); }
  size_t depth() const { return depth_; }  // as Value::depth() has it
  std::span<const Entry> entries() const { return entries_; }
  // nullptr when missing. A double finds the int or uint of the same value.
  const Value* find(const Value& key) const;
  const Value* find(std::string_view key) const;
  // A key that is there twice, or nullptr. find() needs keys to be unique.
  const Value* repeated_key() const;

  static bool is_key(const Value& value);

 private:
  std::vector<Entry> entries_;
  size_t depth_ = 1;
  std::vector<uint32_t> sorted_;  // entries by key; only for a map too large to search one by one
};

// The name of the type as an expression spells it: "int", "null_type", "google.protobuf.Timestamp".
std::string_view type_name(Value::Kind kind);

// == that gives up: every pair of values compared takes one from `budget`, and bytes of strings 1/16 each. At
// zero it stops; its answer is then meaningless.
bool equal(const Value& a, const Value& b, uint64_t& budget);

// CEL's ordering of two numbers, of whichever types. Neither may be NaN.
std::partial_ordering compare_numbers(const Value& a, const Value& b);
inline bool is_number(const Value& value) {
  return value.kind() >= Value::Kind::Int && value.kind() <= Value::Kind::Double;
}

}  // namespace kiln::cel
