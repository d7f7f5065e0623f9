#include "tests/unit/dag/cel_support.h"

#include "dag/cel/numbers.h"
#include "dag/cel/time.h"

namespace kiln::cel::test {
namespace {

std::string show_bytes(const std::string& octets) {
  std::string out = "b\"";
  for (const char c : octets) {
    if (c >= ' ' && c < '\x7f') {
      out += c;
    } else {
      const std::string hex = in_base(false, static_cast<unsigned char>(c), 16);
      out += "\\x" + std::string(2 - hex.size(), '0') + hex;
    }
  }
  return out + '"';
}

std::string show_list(const Value::List& items) {
  std::string out;
  for (const Value& item : items) out += (out.empty() ? "" : ", ") + show(item);
  return "[" + out + "]";
}

std::string show_map(const Map& map) {
  std::string out;
  for (const auto& [key, value] : map.entries())
    out += (out.empty() ? "" : ", ") + show(key) + ": " + show(value);
  return "{" + out + "}";
}

}  // namespace

std::string show(const Value& value) {
  switch (value.kind()) {
    case Value::Kind::Null:
      return "null";
    case Value::Kind::Bool:
      return value.as_bool() ? "true" : "false";
    case Value::Kind::Int:
      return std::to_string(value.as_int());
    case Value::Kind::Uint:
      return std::to_string(value.as_uint()) + "u";
    case Value::Kind::Double: {
      const std::string text = shortest(value.as_double());
      return text.find_first_of(".eIN") == std::string::npos ? text + ".0" : text;
    }
    case Value::Kind::Timestamp:
      return "timestamp(" + format_timestamp(value.as_timestamp()) + ")";
    case Value::Kind::Duration:
      return "duration(" + format_duration(value.as_duration()) + ")";
    case Value::Kind::Type:
      return std::string(type_name(value.as_type()));
    case Value::Kind::String:
      return '"' + value.as_string() + '"';
    case Value::Kind::Bytes:
      return show_bytes(value.as_bytes());
    case Value::Kind::List:
      return show_list(value.as_list());
    case Value::Kind::Map:
      return show_map(value.as_map());
  }
  return "";
}

std::string run(std::string_view text, const Activation& activation, const EvaluateOptions& options) {
  Problems problems;
  const auto expression = parse(text, problems);
  if (!expression) return "error: " + problems.front().message;
  const Outcome outcome = evaluate(*expression, activation, options);
  return outcome.ok() ? show(outcome.value()) : "error: " + outcome.error().message;
}

std::string types(std::string_view text, const Environment& environment) {
  Problems problems;
  const auto expression = parse(text, problems);
  std::string type;
  if (expression) type = check(*expression, environment, problems).text();
  if (problems.empty()) return type;
  std::string out;
  for (const Problem& problem : problems) {
    out += (out.empty() ? "" : "\n") + std::to_string(problem.at.line) + ":" +
           std::to_string(problem.at.column) + ": " + problem.message;
  }
  return out;
}

}  // namespace kiln::cel::test
