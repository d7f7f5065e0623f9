// The string extensions (cel-spec, doc/extensions/strings.md), but for format(). Positions are code points.
#include <algorithm>

#include "base/utf8.h"
#include "dag/cel/function.h"

namespace kiln::cel {
namespace {

using Arguments = std::span<const Value>;
using Kind = Value::Kind;

Value out_of_range(Context& context, int64_t index) {
  return context.fail("index out of range: " + std::to_string(index));
}

Value integer(size_t value) {
  return Value::integer(static_cast<int64_t>(value));
}

// The byte at which a code point starts that may be one past the last. nullopt for any other number.
std::optional<size_t> byte_at(const std::string& text, int64_t index) {
  if (index < 0 || static_cast<uint64_t>(index) > text.size()) return std::nullopt;
  const size_t at = byte_of_code_point(text, static_cast<size_t>(index));
  return at == std::string::npos ? std::nullopt : std::optional(at);
}

Value char_at(Context& context, Arguments arguments) {
  const std::string& text = arguments[0].as_string();
  if (!context.charge_bytes(text.size())) return {};
  const auto at = byte_at(text, arguments[1].as_int());
  if (!at) return out_of_range(context, arguments[1].as_int());
  if (*at == text.size()) return Value::string("");
  return Value::string(text.substr(*at, code_point_bytes(text[*at])));
}

Value index_of(Context& context, Arguments arguments) {
  const std::string& text = arguments[0].as_string();
  const std::string& part = arguments[1].as_string();
  const int64_t from = arguments.size() > 2 ? arguments[2].as_int() : 0;
  if (part.empty()) return Value::integer(from);
  if (from < 0) return out_of_range(context, from);
  if (!context.charge_search(text.size(), part.size())) return {};
  const auto start = byte_at(text, from);
  const size_t found = start ? text.find(part, *start) : std::string::npos;
  if (found == std::string::npos) return Value::integer(-1);
  return integer(count_code_points(std::string_view(text).substr(0, found)));
}

Value last_index_of(Context& context, Arguments arguments) {
  const std::string& text = arguments[0].as_string();
  const std::string& part = arguments[1].as_string();
  if (!context.charge_search(text.size(), part.size())) return {};
  const auto length = static_cast<int64_t>(count_code_points(text));
  const int64_t from = arguments.size() > 2 ? arguments[2].as_int() : part.empty() ? length : length - 1;
  if (part.empty()) return Value::integer(from);
  if (from < 0) return arguments.size() > 2 ? out_of_range(context, from) : Value::integer(-1);
  if (from >= length) return Value::integer(-1);
  const size_t found = text.rfind(part, *byte_at(text, from));
  if (found == std::string::npos) return Value::integer(-1);
  return integer(count_code_points(std::string_view(text).substr(0, found)));
}

Value substring(Context& context, Arguments arguments) {
  const std::string& text = arguments[0].as_string();
  const int64_t start = arguments[1].as_int();
  if (!context.charge_bytes(text.size())) return {};
  const auto begin = byte_at(text, start);
  if (arguments.size() < 3) return begin ? Value::string(text.substr(*begin)) : out_of_range(context, start);
  const int64_t stop = arguments[2].as_int();
  if (start > stop) {
    return context.fail("invalid substring range. start: " + std::to_string(start) +
                        ", end: " + std::to_string(stop));
  }
  if (!begin) return out_of_range(context, start);
  const auto end = byte_at(text, stop);
  if (!end) return out_of_range(context, stop);
  return Value::string(text.substr(*begin, *end - *begin));
}

template <char first, char last, int shift>
Value changed_case(Context& context, Arguments arguments) {
  if (!context.charge_bytes(arguments[0].as_string().size())) return {};
  std::string text = arguments[0].as_string();
  for (char& c : text)
    if (c >= first && c <= last) c = static_cast<char>(c + shift);
  return Value::string(std::move(text));
}

// Unicode's White_Space.
bool is_space(char32_t c) {
  return (c >= 9 && c <= 13) || c == ' ' || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

Value trim(Context& context, Arguments arguments) {
  std::string_view text = arguments[0].as_string();
  if (!context.charge_bytes(text.size())) return {};
  while (!text.empty() && is_space(decode_code_point(text)))
    text.remove_prefix(code_point_bytes(text.front()));
  while (!text.empty()) {
    size_t last = text.size() - 1;
    while (last > 0 && continues_code_point(text[last])) --last;
    if (!is_space(decode_code_point(text.substr(last)))) break;
    text = text.substr(0, last);
  }
  return Value::string(std::string(text));
}

Value reverse(Context& context, Arguments arguments) {
  const std::string& text = arguments[0].as_string();
  if (!context.charge_bytes(text.size())) return {};
  std::string out(text.size(), '\0');
  for (size_t at = 0; at < text.size();) {
    const size_t length = code_point_bytes(text[at]);
    text.copy(&out[text.size() - at - length], length, at);
    at += length;
  }
  return Value::string(std::move(out));
}

// Where `part` stands in `text`, from left to right, not overlapping, at most `limit` times. An empty part
// stands before each code point and at the end.
std::optional<std::vector<size_t>> places(Context& context, const std::string& text, const std::string& part,
                                          uint64_t limit) {
  if (!context.charge_search(text.size(), part.size())) return std::nullopt;
  std::vector<size_t> out;
  size_t at = 0;
  while (out.size() < limit && (at = part.empty() ? at : text.find(part, at)) <= text.size()) {
    if (!context.charge(1)) return std::nullopt;
    out.push_back(at);
    at += !part.empty() ? part.size() : at < text.size() ? code_point_bytes(text[at]) : 1;
  }
  return out;
}

uint64_t limit_of(Arguments arguments, size_t index) {
  if (arguments.size() <= index || arguments[index].as_int() < 0) return UINT64_MAX;
  return static_cast<uint64_t>(arguments[index].as_int());
}

Value replace(Context& context, Arguments arguments) {
  const std::string& text = arguments[0].as_string();
  const std::string& part = arguments[1].as_string();
  const std::string& with = arguments[2].as_string();
  const auto found = places(context, text, part, limit_of(arguments, 3));
  if (!found || !context.charge_bytes(text.size() + found->size() * with.size())) return {};
  std::string out;
  size_t copied = 0;
  for (const size_t at : *found) {
    out.append(text, copied, at - copied).append(with);
    copied = at + part.size();
  }
  return Value::string(out.append(text, copied));
}

Value split(Context& context, Arguments arguments) {
  const std::string& text = arguments[0].as_string();
  const std::string& separator = arguments[1].as_string();
  const uint64_t limit = limit_of(arguments, 2);
  if (limit == 0) return Value::list({});
  auto found = places(context, text, separator, separator.empty() ? limit : limit - 1);
  if (!found || !context.charge_bytes(text.size())) return {};
  // Between code points is neither before the first nor after the last.
  if (separator.empty() && !found->empty()) found->erase(found->begin());
  if (separator.empty() && !found->empty() && found->back() == text.size()) found->pop_back();
  if (separator.empty() && text.empty()) return Value::list({});
  Value::List out;
  size_t copied = 0;
  for (const size_t at : *found) {
    out.push_back(Value::string(text.substr(copied, at - copied)));
    copied = at + separator.size();
  }
  out.push_back(Value::string(text.substr(copied)));
  return Value::list(std::move(out));
}

Value join(Context& context, Arguments arguments) {
  const Value::List& items = arguments[0].as_list();
  const std::string separator = arguments.size() > 1 ? arguments[1].as_string() : std::string();
  std::string out;
  for (size_t i = 0; i < items.size(); ++i) {
    if (!items[i].is(Kind::String))
      return context.fail("join: invalid input: " + std::string(type_name(items[i].kind())));
    if (!context.charge_bytes(separator.size() + items[i].as_string().size())) return {};
    if (i > 0) out += separator;
    out += items[i].as_string();
  }
  return Value::string(std::move(out));
}

Value quote(Context& context, Arguments arguments) {
  static constexpr std::string_view kSpecial = "\a\b\f\n\r\t\v\\\"";
  static constexpr std::string_view kNames = "abfnrtv\\\"";
  if (!context.charge_bytes(2 * arguments[0].as_string().size())) return {};
  std::string out = "\"";
  for (const char c : arguments[0].as_string()) {
    const size_t special = kSpecial.find(c);
    if (special != std::string_view::npos) out += '\\';
    out += special != std::string_view::npos ? kNames[special] : c;
  }
  return Value::string(out + '"');
}

}  // namespace

void add_string_extensions(Functions& functions) {
  const Type text = Type::string();
  const Type index = Type::integer();
  const Type texts = Type::list(Type::string());
  const auto add = [&](std::string_view name, std::vector<Type> parameters, Type result,
                       Implementation implementation) {
    functions.add(
        name, {Overload::Style::Member, std::move(parameters), std::move(result), std::move(implementation)});
  };
  add("charAt", {text, index}, text, char_at);
  add("indexOf", {text, text}, index, index_of);
  add("indexOf", {text, text, index}, index, index_of);
  add("lastIndexOf", {text, text}, index, last_index_of);
  add("lastIndexOf", {text, text, index}, index, last_index_of);
  add("substring", {text, index}, text, substring);
  add("substring", {text, index, index}, text, substring);
  add("lowerAscii", {text}, text, changed_case<'A', 'Z', 'a' - 'A'>);
  add("upperAscii", {text}, text, changed_case<'a', 'z', 'A' - 'a'>);
  add("trim", {text}, text, trim);
  add("reverse", {text}, text, reverse);
  add("replace", {text, text, text}, text, replace);
  add("replace", {text, text, text, index}, text, replace);
  add("split", {text, text}, texts, split);
  add("split", {text, text, index}, texts, split);
  add("join", {texts}, text, join);
  add("join", {texts, text}, text, join);
  functions.add("strings.quote", {Overload::Style::Global, {text}, text, quote});
}

}  // namespace kiln::cel
