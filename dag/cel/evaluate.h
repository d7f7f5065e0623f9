#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>

#include "dag/cel/expression.h"
#include "dag/cel/function.h"
#include "dag/cel/value.h"

namespace kiln::cel {

// Where an expression's variables come from. Asked when a variable is met, at most once each time it stands
// in the text and is reached, so that what nobody reads need not be made.
class Activation {
 public:
  virtual ~Activation() = default;
  // nullopt when there is no such variable.
  virtual std::optional<Value> find(std::string_view name) const = 0;
  // Whether find() knows names with dots. `a.b.c` is then looked for as "a.b.c", "a.b" and "a", in this
  // order.
  virtual bool has_qualified_names() const { return false; }
};

// Variables that are there already.
class Variables : public Activation {
 public:
  Variables() = default;
  Variables(std::initializer_list<std::pair<const std::string, Value>> values);
  void set(std::string name, Value value);
  std::optional<Value> find(std::string_view name) const override;
  bool has_qualified_names() const override { return qualified_; }

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  std::unordered_map<std::string, Value, Hash, std::equal_to<>> values_;
  bool qualified_ = false;
};

struct EvaluateOptions {
  const Functions* functions = &Functions::standard();
  const TimeZones* zones = &machine_time_zones();
  // What an evaluation may cost: each node visited is a step, and so are each list item and every 16 bytes of
  // text that are read or made. Bounds time and memory alike.
  uint64_t steps = 1'000'000;
};

// A value, or what went wrong and where.
class Outcome {
 public:
  Outcome(Value value) : result_(std::move(value)) {}
  Outcome(Problem problem) : result_(std::move(problem)) {}

  bool ok() const { return result_.index() == 0; }
  const Value& value() const { return *std::get_if<Value>(&result_); }      // only when ok()
  const Problem& error() const { return *std::get_if<Problem>(&result_); }  // only when not

 private:
  std::variant<Value, Problem> result_;
};

// The same for the same expression and variables, always; needs no check() before. Never throws for what the
// expression or its variables hold.
Outcome evaluate(const Expression& expression, const Activation& activation,
                 const EvaluateOptions& options = {});

}  // namespace kiln::cel
