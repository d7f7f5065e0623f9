// size(), contains(), startsWith(), endsWith() and matches(): langdef, "Standard Definitions".
#include "base/utf8.h"
#include "dag/cel/function.h"

namespace kiln::cel {
namespace {

using Arguments = std::span<const Value>;
using Kind = Value::Kind;

Value size(Context& context, Arguments arguments) {
  const Value& of = arguments[0];
  const auto count = [](size_t size) { return Value::integer(static_cast<int64_t>(size)); };
  switch (of.kind()) {
    case Kind::String:
      if (!context.charge_bytes(of.as_string().size())) return {};
      return count(count_code_points(of.as_string()));
    case Kind::Bytes:
      return count(of.as_bytes().size());
    case Kind::List:
      return count(of.as_list().size());
    default:
      return count(of.as_map().size());
  }
}

Value contains(Context& context, Arguments arguments) {
  const std::string& text = arguments[0].as_string();
  const std::string& part = arguments[1].as_string();
  if (!context.charge_search(text.size(), part.size())) return {};
  return Value::boolean(text.find(part) != std::string::npos);
}

Value starts_with(Context& context, Arguments arguments) {
  if (!context.charge_bytes(arguments[1].as_string().size())) return {};
  return Value::boolean(arguments[0].as_string().starts_with(arguments[1].as_string()));
}

Value ends_with(Context& context, Arguments arguments) {
  if (!context.charge_bytes(arguments[1].as_string().size())) return {};
  return Value::boolean(arguments[0].as_string().ends_with(arguments[1].as_string()));
}

Value matches(Context& context, Arguments arguments) {
  const std::string& text = arguments[0].as_string();
  const Regex* regex = context.regex(arguments[1].as_string());
  if (!regex) return {};
  if (!regex->problem().empty()) return context.fail("invalid matches argument: " + regex->problem());
  // In the worst case each byte of the text meets each instruction of the program.
  if (!context.charge(1 + text.size() * regex->program_size() / 64)) return {};
  return Value::boolean(regex->matches(text));
}

}  // namespace

void add_string_functions(Functions& functions) {
  using Style = Overload::Style;
  const Type a = Type::parameter("A");
  const Type b = Type::parameter("B");
  for (const Style style : {Style::Global, Style::Member})
    for (const Type& type : {Type::string(), Type::bytes(), Type::list(a), Type::map(a, b)})
      functions.add("size", {style, {type}, Type::integer(), size});
  const std::vector<Type> two{Type::string(), Type::string()};
  functions.add("contains", {Style::Member, two, Type::boolean(), contains});
  functions.add("startsWith", {Style::Member, two, Type::boolean(), starts_with});
  functions.add("endsWith", {Style::Member, two, Type::boolean(), ends_with});
  functions.add("matches", {Style::Member, two, Type::boolean(), matches});
  functions.add("matches", {Style::Global, two, Type::boolean(), matches});
}

}  // namespace kiln::cel
