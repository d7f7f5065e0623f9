// int(), uint(), double(), bool(), string(), bytes(), type() and dyn(): langdef, "Type Conversion Functions".
#include <cmath>

#include "base/utf8.h"
#include "dag/cel/function.h"
#include "dag/cel/numbers.h"
#include "dag/cel/time.h"

namespace kiln::cel {
namespace {

using Arguments = std::span<const Value>;
using Kind = Value::Kind;

constexpr double kTwoTo63 = 9223372036854775808.0;
constexpr double kTwoTo64 = 18446744073709551616.0;

Value itself(Context&, Arguments arguments) {
  return arguments[0];
}

Value no_conversion(Context& context, Kind from, Kind to) {
  return context.fail("type conversion error from '" + std::string(type_name(from)) + "' to '" +
                      std::string(type_name(to)) + "'");
}

Value to_int(Context& context, Arguments arguments) {
  const Value& from = arguments[0];
  switch (from.kind()) {
    case Kind::Uint:
      if (from.as_uint() > INT64_MAX) return context.fail("integer overflow: out of range");
      return Value::integer(static_cast<int64_t>(from.as_uint()));
    case Kind::Double:
      if (!(from.as_double() > -kTwoTo63 && from.as_double() < kTwoTo63))
        return context.fail("integer overflow: out of range");
      return Value::integer(static_cast<int64_t>(from.as_double()));
    case Kind::Timestamp:
      return Value::integer(from.as_timestamp().seconds);
    case Kind::Duration:
      return Value::integer(from.as_duration().nanos);
    default:
      if (!context.charge_bytes(from.as_string().size())) return {};
      if (const auto value = parse_int(from.as_string())) return Value::integer(*value);
      return no_conversion(context, Kind::String, Kind::Int);
  }
}

Value to_uint(Context& context, Arguments arguments) {
  const Value& from = arguments[0];
  switch (from.kind()) {
    case Kind::Int:
      if (from.as_int() < 0) return context.fail("unsigned integer overflow: out of range");
      return Value::unsigned_integer(static_cast<uint64_t>(from.as_int()));
    case Kind::Double:
      if (!(from.as_double() >= 0 && from.as_double() < kTwoTo64))
        return context.fail("unsigned integer overflow: out of range");
      return Value::unsigned_integer(static_cast<uint64_t>(from.as_double()));
    default:
      if (!context.charge_bytes(from.as_string().size())) return {};
      if (const auto value = parse_uint(from.as_string())) return Value::unsigned_integer(*value);
      return no_conversion(context, Kind::String, Kind::Uint);
  }
}

Value to_double(Context& context, Arguments arguments) {
  const Value& from = arguments[0];
  if (from.is(Kind::Int)) return Value::number(static_cast<double>(from.as_int()));
  if (from.is(Kind::Uint)) return Value::number(static_cast<double>(from.as_uint()));
  if (!context.charge_bytes(from.as_string().size())) return {};
  if (const auto value = parse_double(from.as_string())) return Value::number(*value);
  return no_conversion(context, Kind::String, Kind::Double);
}

Value to_bool(Context& context, Arguments arguments) {
  const std::string& from = arguments[0].as_string();
  for (const std::string_view yes : {"true", "True", "TRUE", "t", "T", "1"})
    if (from == yes) return Value::boolean(true);
  for (const std::string_view no : {"false", "False", "FALSE", "f", "F", "0"})
    if (from == no) return Value::boolean(false);
  return no_conversion(context, Kind::String, Kind::Bool);
}

Value to_string(Context& context, Arguments arguments) {
  const Value& from = arguments[0];
  switch (from.kind()) {
    case Kind::Bool:
      return Value::string(from.as_bool() ? "true" : "false");
    case Kind::Int:
      return Value::string(std::to_string(from.as_int()));
    case Kind::Uint:
      return Value::string(std::to_string(from.as_uint()));
    case Kind::Double:
      return Value::string(shortest(from.as_double()));
    case Kind::Timestamp:
      return Value::string(format_timestamp(from.as_timestamp()));
    case Kind::Duration:
      return Value::string(format_duration(from.as_duration()));
    default:
      if (!context.charge_bytes(from.as_bytes().size())) return {};
      if (find_invalid_utf8(from.as_bytes()))
        return context.fail("invalid UTF-8 in bytes, cannot convert to string");
      return Value::string(from.as_bytes());
  }
}

Value to_bytes(Context& context, Arguments arguments) {
  if (!context.charge_bytes(arguments[0].as_string().size())) return {};
  return Value::bytes(arguments[0].as_string());
}

Value to_timestamp(Context& context, Arguments arguments) {
  const Value& from = arguments[0];
  if (from.is(Kind::Int)) {
    const Timestamp timestamp{from.as_int(), 0};
    return in_range(timestamp) ? Value::timestamp(timestamp)
                               : context.fail("timestamp overflow: out of range");
  }
  if (!context.charge_bytes(from.as_string().size())) return {};
  if (const auto timestamp = parse_timestamp(from.as_string())) return Value::timestamp(*timestamp);
  return context.fail("invalid timestamp: want RFC 3339, as in 2009-02-13T23:31:30Z, from year 1 to 9999");
}

Value to_duration(Context& context, Arguments arguments) {
  if (!context.charge_bytes(arguments[0].as_string().size())) return {};
  if (const auto duration = parse_duration(arguments[0].as_string())) return Value::duration(*duration);
  return context.fail(
      "invalid duration: want numbers with units h, m, s, ms, us or ns, as in 1h30m, in the range of "
      "292 years");
}

Value type_of(Context&, Arguments arguments) {
  return Value::type(arguments[0].kind());
}

}  // namespace

void add_conversions(Functions& functions) {
  const auto convert = [&](std::string_view name, const Type& to, Implementation implementation,
                           std::initializer_list<Type> sources) {
    functions.add(name, {Overload::Style::Global, {to}, to, itself});
    for (const Type& source : sources)
      functions.add(name, {Overload::Style::Global, {source}, to, implementation});
  };
  const Type whole = Type::integer();
  const Type natural = Type::unsigned_integer();
  const Type number = Type::number();
  const Type string = Type::string();
  const Type timestamp = Type::timestamp();
  const Type duration = Type::duration();
  convert("int", whole, to_int, {natural, number, string, timestamp, duration});
  convert("uint", natural, to_uint, {whole, number, string});
  convert("double", number, to_double, {whole, natural, string});
  convert("bool", Type::boolean(), to_bool, {string});
  convert("string", string, to_string,
          {Type::boolean(), whole, natural, number, Type::bytes(), timestamp, duration});
  convert("bytes", Type::bytes(), to_bytes, {string});
  convert("timestamp", timestamp, to_timestamp, {string, whole});
  convert("duration", duration, to_duration, {string});
  const Type a = Type::parameter("A");
  functions.add("dyn", {Overload::Style::Global, {a}, Type::dyn(), itself});
  functions.add("type", {Overload::Style::Global, {a}, Type::type(a), type_of});
}

}  // namespace kiln::cel
