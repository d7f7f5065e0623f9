#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "dag/cel/regex.h"
#include "dag/cel/type.h"
#include "dag/cel/value.h"

// The functions an expression may call. triggers/ adds its own to a copy of the standard ones.
namespace kiln::cel {

// Offsets of named time zones. Implementations are called from any thread.
class TimeZones {
 public:
  virtual ~TimeZones() = default;
  // Seconds east of UTC at that second since 1970, in the IANA zone of that name. nullopt for an unknown one.
  virtual std::optional<int64_t> offset(std::string_view zone, int64_t second) const = 0;
};

// The machine's own time zone database.
const TimeZones& machine_time_zones();

// What a function sees of the evaluation it is called in: where it reports failure and pays for its work.
class Context {
 public:
  Context(uint64_t steps, const TimeZones& zones) : steps_(steps), zones_(zones) {}

  // Ends the call with an error: `return context.fail("…")`.
  Value fail(std::string message);
  // "no such overload: …": for arguments whose kinds the function does not know.
  Value no_overload(std::string_view function, std::span<const Value> arguments);

  // Takes from the budget, before the work. False when it is used up; the evaluation then ends with an error
  // that no `||` absorbs, so return at once.
  bool charge(uint64_t steps) {
    if (steps_ > steps) {
      steps_ -= steps;
      return true;
    }
    return exhaust();
  }
  // For reading or writing so many bytes.
  bool charge_bytes(uint64_t bytes) { return charge(bytes / 16 + 1); }
  // For looking for one text in another, which takes their product at worst.
  bool charge_search(uint64_t text, uint64_t part) { return charge(text / 16 + 1 + text / 64 * (part / 64)); }
  // For finding a key in a map.
  bool charge_key(const Value& key) {
    return !key.is(Value::Kind::String) || charge_bytes(4 * key.as_string().size());
  }
  // ==, paid for.
  bool equal(const Value& a, const Value& b);
  // A pattern, compiled, paid for; good until the next call. nullptr when the budget is used up.
  const Regex* regex(const std::string& pattern);
  // The same pattern, compiled with the expression.
  void offer(const Regex& regex) { offered_ = &regex; }
  const TimeZones& zones() const { return zones_; }

  bool failed() const { return failed_; }
  bool exhausted() const { return exhausted_; }
  const std::string& message() const { return message_; }
  // Takes the error back, unless it is that the budget is used up.
  void absorb() { failed_ = exhausted_; }

 private:
  bool exhaust();

  uint64_t steps_;
  const TimeZones& zones_;
  bool failed_ = false;
  bool exhausted_ = false;
  std::string message_;
  const Regex* offered_ = nullptr;
  std::unordered_map<std::string, std::unique_ptr<Regex>> regexes_;
};

// The arguments fit the overload's parameters, the receiver is the first of a Member. Called from any thread.
using Implementation = std::function<Value(Context&, std::span<const Value> arguments)>;

struct Overload {
  enum class Style : uint8_t { Global, Member };
  Style style = Style::Global;
  std::vector<Type> parameters;
  Type result;
  Implementation implementation;
};

class Functions {
 public:
  // The standard definitions (langdef, "Standard Definitions") with the string extensions.
  static const Functions& standard();

  // Another overload of `name`, which may be qualified ("strings.quote"). The first whose parameters take the
  // arguments is the one that is called.
  void add(std::string_view name, Overload overload);
  // nullptr when there is none.
  const std::vector<Overload>* find(std::string_view name) const;
  // Whether some function's name begins with "prefix.".
  bool has_namespace(std::string_view prefix) const;

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  std::unordered_map<std::string, std::vector<Overload>, Hash, std::equal_to<>> overloads_;
  std::vector<std::string> namespaces_;
};

// Parts of Functions::standard().
void add_operators(Functions& functions);  // for check(); evaluate() has them built in
void add_conversions(Functions& functions);
void add_string_functions(Functions& functions);
void add_string_extensions(Functions& functions);
void add_format(Functions& functions);
void add_time_functions(Functions& functions);

}  // namespace kiln::cel
