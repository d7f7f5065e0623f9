#include "dag/cel/operators.h"

#include <cmath>
#include <limits>
#include <type_traits>

#include "dag/cel/time.h"

namespace kiln::cel {
namespace {

using Kind = Value::Kind;

constexpr std::string_view kIntOverflow = "integer overflow";
constexpr std::string_view kUintOverflow = "unsigned integer overflow";

Value no_overload(Context& context, Operator op, const Value& a, const Value& b) {
  const Value operands[] = {a, b};
  return context.no_overload(operator_name(op), operands);
}

template <class Integer>
Value integer_arithmetic(Context& context, Operator op, Integer a, Integer b) {
  constexpr bool kSigned = std::is_signed_v<Integer>;
  Integer out = 0;
  bool overflow = false;
  switch (op) {
    case Operator::Add:
      overflow = __builtin_add_overflow(a, b, &out);
      break;
    case Operator::Subtract:
      overflow = __builtin_sub_overflow(a, b, &out);
      break;
    case Operator::Multiply:
      overflow = __builtin_mul_overflow(a, b, &out);
      break;
    default:
      if (b == 0) return context.fail(op == Operator::Divide ? "division by zero" : "modulus by zero");
      if constexpr (kSigned) overflow = a == std::numeric_limits<Integer>::min() && b == -1;
      if (!overflow) out = op == Operator::Divide ? a / b : a % b;
  }
  if (overflow) return context.fail(std::string(kSigned ? kIntOverflow : kUintOverflow));
  if constexpr (kSigned)
    return Value::integer(out);
  else
    return Value::unsigned_integer(out);
}

// IEEE 754: dividing by zero is no error. No modulus.
double double_arithmetic(Operator op, double a, double b) {
  switch (op) {
    case Operator::Add:
      return a + b;
    case Operator::Subtract:
      return a - b;
    case Operator::Multiply:
      return a * b;
    default:
      return a / b;
  }
}

Value from(Context& context, std::optional<Timestamp> timestamp) {
  return timestamp ? Value::timestamp(*timestamp) : context.fail("timestamp overflow: out of range");
}

Value duration_arithmetic(Context& context, Operator op, Duration a, Duration b) {
  int64_t out = 0;
  const bool overflow = op == Operator::Add ? __builtin_add_overflow(a.nanos, b.nanos, &out)
                                            : __builtin_sub_overflow(a.nanos, b.nanos, &out);
  return overflow ? context.fail("duration overflow: out of range") : Value::duration({out});
}

Value time_arithmetic(Context& context, Operator op, const Value& a, const Value& b) {
  if (a.is(Kind::Duration) && b.is(Kind::Duration) && (op == Operator::Add || op == Operator::Subtract))
    return duration_arithmetic(context, op, a.as_duration(), b.as_duration());
  if (op == Operator::Add) {
    if (a.is(Kind::Timestamp) && b.is(Kind::Duration))
      return from(context, add(a.as_timestamp(), b.as_duration()));
    if (a.is(Kind::Duration) && b.is(Kind::Timestamp))
      return from(context, add(b.as_timestamp(), a.as_duration()));
  }
  if (op == Operator::Subtract && a.is(Kind::Timestamp)) {
    if (b.is(Kind::Duration)) {
      if (b.as_duration().nanos == INT64_MIN) return context.fail("timestamp overflow: out of range");
      return from(context, add(a.as_timestamp(), {-b.as_duration().nanos}));
    }
    if (b.is(Kind::Timestamp)) {
      const auto between = subtract(a.as_timestamp(), b.as_timestamp());
      return between ? Value::duration(*between) : context.fail("duration overflow: out of range");
    }
  }
  return no_overload(context, op, a, b);
}

Value concatenated(Context& context, const Value& a, const Value& b) {
  if (a.is(Kind::List)) {
    const size_t size = a.as_list().size() + b.as_list().size();
    if (!context.charge(size)) return {};
    Value::List out;
    out.reserve(size);
    out.insert(out.end(), a.as_list().begin(), a.as_list().end());
    out.insert(out.end(), b.as_list().begin(), b.as_list().end());
    return Value::list(std::move(out));
  }
  const bool text = a.is(Kind::String);
  const std::string& left = text ? a.as_string() : a.as_bytes();
  const std::string& right = text ? b.as_string() : b.as_bytes();
  if (!context.charge_bytes(left.size() + right.size())) return {};
  return text ? Value::string(left + right) : Value::bytes(left + right);
}

Value arithmetic(Context& context, Operator op, const Value& a, const Value& b) {
  if (a.kind() == b.kind()) {
    switch (a.kind()) {
      case Kind::Int:
        return integer_arithmetic(context, op, a.as_int(), b.as_int());
      case Kind::Uint:
        return integer_arithmetic(context, op, a.as_uint(), b.as_uint());
      case Kind::Double:
        if (op != Operator::Modulo) return Value::number(double_arithmetic(op, a.as_double(), b.as_double()));
        break;
      case Kind::String:
      case Kind::Bytes:
      case Kind::List:
        if (op == Operator::Add) return concatenated(context, a, b);
        break;
      default:
        break;
    }
  }
  return time_arithmetic(context, op, a, b);
}

bool is_nan(const Value& value) {
  return value.is(Kind::Double) && std::isnan(value.as_double());
}

std::partial_ordering order(Context& context, const std::string& a, const std::string& b) {
  if (!context.charge_bytes(std::min(a.size(), b.size()))) return std::partial_ordering::unordered;
  return a.compare(b) <=> 0;
}

// unordered: there is no such overload, or the budget is used up.
std::partial_ordering ordering(Context& context, const Value& a, const Value& b) {
  if (is_number(a) && is_number(b)) return compare_numbers(a, b);
  if (a.kind() != b.kind()) return std::partial_ordering::unordered;
  switch (a.kind()) {
    case Kind::Bool:
      return a.as_bool() <=> b.as_bool();
    case Kind::String:
      return order(context, a.as_string(), b.as_string());
    case Kind::Bytes:
      return order(context, a.as_bytes(), b.as_bytes());
    case Kind::Timestamp:
      return a.as_timestamp() <=> b.as_timestamp();
    case Kind::Duration:
      return a.as_duration() <=> b.as_duration();
    default:
      return std::partial_ordering::unordered;
  }
}

Value comparison(Context& context, Operator op, const Value& a, const Value& b) {
  if (is_number(a) && is_number(b) && (is_nan(a) || is_nan(b)))
    return context.fail("NaN values cannot be ordered");
  const std::partial_ordering found = ordering(context, a, b);
  if (found == std::partial_ordering::unordered) return no_overload(context, op, a, b);
  switch (op) {
    case Operator::Less:
      return Value::boolean(found < 0);
    case Operator::LessEquals:
      return Value::boolean(found <= 0);
    case Operator::Greater:
      return Value::boolean(found > 0);
    default:
      return Value::boolean(found >= 0);
  }
}

Value is_in(Context& context, const Value& item, const Value& container) {
  if (container.is(Kind::Map)) {
    if (!context.charge_key(item)) return {};
    return Value::boolean(container.as_map().find(item) != nullptr);
  }
  if (!container.is(Kind::List)) return no_overload(context, Operator::In, item, container);
  for (const Value& candidate : container.as_list())
    if (context.equal(item, candidate)) return Value::boolean(true);
  return Value::boolean(false);
}

std::string shown(const Value& key) {
  switch (key.kind()) {
    case Kind::String:
      return key.as_string();
    case Kind::Int:
      return std::to_string(key.as_int());
    case Kind::Uint:
      return std::to_string(key.as_uint());
    case Kind::Double:
      return std::to_string(key.as_double());
    case Kind::Bool:
      return key.as_bool() ? "true" : "false";
    default:
      return std::string(type_name(key.kind()));
  }
}

// A list's index may be any number that is whole.
std::optional<int64_t> list_index(const Value& index) {
  switch (index.kind()) {
    case Kind::Int:
      return index.as_int();
    case Kind::Uint:
      return index.as_uint() > INT64_MAX ? -1 : static_cast<int64_t>(index.as_uint());
    case Kind::Double:
      if (std::trunc(index.as_double()) != index.as_double() || std::fabs(index.as_double()) > 1e15)
        return std::nullopt;
      return static_cast<int64_t>(index.as_double());
    default:
      return std::nullopt;
  }
}

Value indexed(Context& context, const Value& from_value, const Value& index) {
  if (from_value.is(Kind::Map)) {
    if (!context.charge_key(index)) return {};
    if (const Value* found = from_value.as_map().find(index)) return *found;
    return context.fail("no such key: " + shown(index));
  }
  if (!from_value.is(Kind::List)) return no_overload(context, Operator::Index, from_value, index);
  const auto at = list_index(index);
  if (!at) return context.fail("unsupported index value " + shown(index) + " in list");
  const Value::List& items = from_value.as_list();
  if (*at < 0 || static_cast<uint64_t>(*at) >= items.size()) {
    return context.fail("index out of bounds: " + shown(index) + " in a list of " +
                        std::to_string(items.size()));
  }
  return items[static_cast<size_t>(*at)];
}

}  // namespace

Value apply(Context& context, Operator op, const Value& a, const Value& b) {
  switch (op) {
    case Operator::Equals:
      return Value::boolean(context.equal(a, b));
    case Operator::NotEquals:
      return Value::boolean(!context.equal(a, b));
    case Operator::Less:
    case Operator::LessEquals:
    case Operator::Greater:
    case Operator::GreaterEquals:
      return comparison(context, op, a, b);
    case Operator::In:
      return is_in(context, a, b);
    case Operator::Index:
      return indexed(context, a, b);
    default:
      return arithmetic(context, op, a, b);
  }
}

Value apply(Context& context, Operator op, const Value& operand) {
  if (op == Operator::Not && operand.is(Kind::Bool)) return Value::boolean(!operand.as_bool());
  if (op == Operator::Negate && operand.is(Kind::Double)) return Value::number(-operand.as_double());
  if (op == Operator::Negate && operand.is(Kind::Int)) {
    if (operand.as_int() == INT64_MIN) return context.fail(std::string(kIntOverflow));
    return Value::integer(-operand.as_int());
  }
  return context.no_overload(operator_name(op), std::span(&operand, 1));
}

std::optional<Value::Kind> kind_of_type_name(std::string_view name) {
  for (const Kind kind : {Kind::Null, Kind::Bool, Kind::Int, Kind::Uint, Kind::Double, Kind::Type,
                          Kind::String, Kind::Bytes, Kind::List, Kind::Map})
    if (type_name(kind) == name) return kind;
  return std::nullopt;
}

const std::vector<Overload>* find_qualified_function(const Expression& expression, const Node& call,
                                                     const Functions& functions) {
  if (!call.member) return nullptr;
  const Node* root = &expression.node(expression.children(call)[0]);
  if (!root->qualified) return nullptr;
  while (root->kind == Node::Kind::Select) root = &expression.node(expression.children(*root)[0]);
  if (!functions.has_namespace(expression.name(*root))) return nullptr;
  return functions.find(qualified_function_name(expression, call));
}

std::string qualified_function_name(const Expression& expression, const Node& call) {
  return expression.qualified_name(expression.node(expression.children(call)[0])) + "." +
         expression.name(call);
}

void add_operators(Functions& functions) {
  const Type a = Type::parameter("A");
  const Type b = Type::parameter("B");
  const auto declare = [&](Operator op, std::vector<Type> parameters, Type result) {
    functions.add(operator_name(op),
                  {Overload::Style::Global, std::move(parameters), std::move(result), nullptr});
  };
  const std::vector<Type> numbers{Type::integer(), Type::unsigned_integer(), Type::number()};
  declare(Operator::Conditional, {Type::boolean(), a, a}, a);
  declare(Operator::Not, {Type::boolean()}, Type::boolean());
  declare(Operator::Negate, {Type::integer()}, Type::integer());
  declare(Operator::Negate, {Type::number()}, Type::number());
  declare(Operator::Equals, {a, a}, Type::boolean());
  declare(Operator::NotEquals, {a, a}, Type::boolean());
  declare(Operator::In, {a, Type::list(a)}, Type::boolean());
  declare(Operator::In, {a, Type::map(a, b)}, Type::boolean());
  declare(Operator::Index, {Type::list(a), Type::integer()}, a);
  declare(Operator::Index, {Type::map(a, b), a}, b);
  for (const Operator op :
       {Operator::Less, Operator::LessEquals, Operator::Greater, Operator::GreaterEquals}) {
    for (const Type& type : numbers) declare(op, {type, type}, Type::boolean());
    for (const Type& type :
         {Type::boolean(), Type::string(), Type::bytes(), Type::timestamp(), Type::duration()})
      declare(op, {type, type}, Type::boolean());
  }
  for (const Operator op :
       {Operator::Add, Operator::Subtract, Operator::Multiply, Operator::Divide, Operator::Modulo})
    for (const Type& type : numbers)
      if (op != Operator::Modulo || type != Type::number()) declare(op, {type, type}, type);
  for (const Type& type : {Type::string(), Type::bytes(), Type::list(a), Type::duration()})
    declare(Operator::Add, {type, type}, type);
  declare(Operator::Add, {Type::timestamp(), Type::duration()}, Type::timestamp());
  declare(Operator::Add, {Type::duration(), Type::timestamp()}, Type::timestamp());
  declare(Operator::Subtract, {Type::duration(), Type::duration()}, Type::duration());
  declare(Operator::Subtract, {Type::timestamp(), Type::duration()}, Type::timestamp());
  declare(Operator::Subtract, {Type::timestamp(), Type::timestamp()}, Type::duration());
}

}  // namespace kiln::cel
