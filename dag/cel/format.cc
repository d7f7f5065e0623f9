// string.format(): cel-spec, doc/extensions/strings.md, "Format".
#include <algorithm>

#include "base/utf8.h"
#include "dag/cel/function.h"
#include "dag/cel/numbers.h"
#include "dag/cel/time.h"

namespace kiln::cel {
namespace {

using Arguments = std::span<const Value>;
using Kind = Value::Kind;

constexpr int kPrecision = 6;
constexpr uint64_t kLargestPrecision = 1000;

// One call: reads the pattern and writes the text.
class Formatter {
 public:
  Formatter(Context& context, const std::string& pattern, const Value::List& values)
      : context_(context), rest_(pattern), values_(values) {}

  Value run() {
    if (!context_.charge_bytes(rest_.size())) return {};
    while (!rest_.empty()) {
      const size_t literal = std::min(rest_.find('%'), rest_.size());
      out_.append(rest_.substr(0, literal));
      rest_.remove_prefix(literal);
      if (rest_.starts_with("%%")) {
        out_ += '%';
        rest_.remove_prefix(2);
      } else if (!rest_.empty() && !clause()) {
        return {};
      }
    }
    return Value::string(std::move(out_));
  }

 private:
  bool fail(std::string message) {
    context_.fail(std::move(message));
    return false;
  }

  // "%.3f" and what it stands for.
  bool clause() {
    rest_.remove_prefix(1);
    if (next_ >= values_.size()) return fail("index " + std::to_string(next_) + " out of range");
    if (rest_.empty()) return fail("unexpected end of string");
    const Value& value = values_[next_++];
    int precision = kPrecision;
    if (rest_.starts_with('.') && !take_precision(precision)) return false;
    const std::string verb(rest_.substr(0, code_point_bytes(rest_.front())));
    rest_.remove_prefix(verb.size());
    switch (verb.front()) {
      case 's':
        return written(value);
      case 'd':
        return decimal(value);
      case 'f':
      case 'e':
        return real(value, verb.front() == 'f', precision);
      case 'b':
        return binary(value);
      case 'x':
      case 'X':
        return hex(value, verb.front() == 'X');
      case 'o':
        if (is_whole(value)) return in_base_of(value, 8, false);
        return wrong("octal clause can only be used on integers", value);
      default:
        return fail("could not parse formatting clause: unrecognized formatting clause \"" + verb + "\"");
    }
  }

  bool take_precision(int& precision) {
    const size_t end = rest_.find_first_not_of("0123456789", 1);
    if (end == std::string_view::npos)
      return fail(
          "could not parse formatting clause: error while parsing precision: could not find end of "
          "precision specifier");
    const auto value = parse_uint(rest_.substr(1, end - 1));
    if (!value || *value > kLargestPrecision)
      return fail("could not parse formatting clause: error while parsing precision: not a number up to " +
                  std::to_string(kLargestPrecision));
    precision = static_cast<int>(*value);
    rest_.remove_prefix(end);
    return context_.charge_bytes(*value);
  }

  bool wrong(std::string_view rule, const Value& value) {
    return fail("error during formatting: " + std::string(rule) + ", was given " +
                std::string(type_name(value.kind())));
  }

  static bool is_whole(const Value& value) { return value.is(Kind::Int) || value.is(Kind::Uint); }

  bool decimal(const Value& value) {
    if (is_number(value)) return written(value);
    return wrong("decimal clause can only be used on integers", value);
  }

  bool real(const Value& value, bool is_fixed, int precision) {
    if (!is_number(value))
      return wrong(is_fixed ? "fixed-point clause can only be used on doubles"
                            : "scientific clause can only be used on doubles",
                   value);
    const double number = value.is(Kind::Double) ? value.as_double()
                          : value.is(Kind::Int)  ? static_cast<double>(value.as_int())
                                                 : static_cast<double>(value.as_uint());
    return append(is_fixed ? fixed(number, precision) : scientific(number, precision));
  }

  bool binary(const Value& value) {
    if (value.is(Kind::Bool)) return append(value.as_bool() ? "1" : "0");
    if (is_whole(value)) return in_base_of(value, 2, false);
    return wrong("only integers and bools can be formatted as binary", value);
  }

  bool hex(const Value& value, bool upper_case) {
    if (is_whole(value)) return in_base_of(value, 16, upper_case);
    if (!value.is(Kind::String) && !value.is(Kind::Bytes))
      return wrong("only integers, byte buffers, and strings can be formatted as hex", value);
    const std::string& octets = value.is(Kind::String) ? value.as_string() : value.as_bytes();
    if (!context_.charge_bytes(2 * octets.size())) return false;
    const std::string_view digits = upper_case ? "0123456789ABCDEF" : "0123456789abcdef";
    for (const char c : octets) {
      out_ += digits[static_cast<unsigned char>(c) >> 4];
      out_ += digits[static_cast<unsigned char>(c) & 15];
    }
    return true;
  }

  bool in_base_of(const Value& value, int base, bool upper_case) {
    if (value.is(Kind::Uint)) return append(in_base(false, value.as_uint(), base, upper_case));
    const auto bits = static_cast<uint64_t>(value.as_int());
    const bool negative = value.as_int() < 0;
    return append(in_base(negative, negative ? 0 - bits : bits, base, upper_case));
  }

  bool append(std::string_view text) {
    if (!context_.charge_bytes(text.size())) return false;
    out_ += text;
    return true;
  }

  // %s: any value, lists and maps with all they hold.
  bool written(const Value& value) {
    switch (value.kind()) {
      case Kind::Null:
        return append("null");
      case Kind::Bool:
        return append(value.as_bool() ? "true" : "false");
      case Kind::Int:
        return append(std::to_string(value.as_int()));
      case Kind::Uint:
        return append(std::to_string(value.as_uint()));
      case Kind::Double:
        return append(shortest_fixed(value.as_double()));
      case Kind::Timestamp:
        return append(format_timestamp(value.as_timestamp()));
      case Kind::Duration:
        return append(format_duration(value.as_duration()));
      case Kind::Type:
        return append(type_name(value.as_type()));
      case Kind::String:
        return append(value.as_string());
      case Kind::Bytes:
        return written_bytes(value.as_bytes());
      case Kind::List:
        return written_list(value.as_list());
      case Kind::Map:
        return written_map(value.as_map());
    }
    return true;
  }

  // The result is a string, so what is not UTF-8 becomes U+FFFD.
  bool written_bytes(const std::string& octets) {
    std::string_view rest = octets;
    if (!context_.charge_bytes(rest.size())) return false;
    while (const auto invalid = find_invalid_utf8(rest)) {
      if (!append(rest.substr(0, *invalid)) || !append("\uFFFD")) return false;
      rest.remove_prefix(*invalid + 1);
    }
    return append(rest);
  }

  bool written_list(const Value::List& items) {
    if (!append("[")) return false;
    for (size_t i = 0; i < items.size(); ++i)
      if ((i > 0 && !append(", ")) || !written(items[i])) return false;
    return append("]");
  }

  // In the order of the keys as text.
  bool written_map(const Map& map) {
    std::string before = std::move(out_);
    std::vector<std::pair<std::string, const Value*>> entries;
    for (const auto& [key, value] : map.entries()) {
      out_.clear();
      if (!written(key)) return false;
      entries.emplace_back(std::move(out_), &value);
    }
    std::stable_sort(entries.begin(), entries.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    out_ = std::move(before);
    if (!append("{")) return false;
    for (size_t i = 0; i < entries.size(); ++i) {
      if (i > 0 && !append(", ")) return false;
      if (!append(entries[i].first) || !append(": ") || !written(*entries[i].second)) return false;
    }
    return append("}");
  }

  Context& context_;
  std::string_view rest_;
  const Value::List& values_;
  size_t next_ = 0;
  std::string out_;
};

Value format(Context& context, Arguments arguments) {
  return Formatter(context, arguments[0].as_string(), arguments[1].as_list()).run();
}

}  // namespace

void add_format(Functions& functions) {
  functions.add("format", {Overload::Style::Member, {Type::string(), Type::list()}, Type::string(), format});
}

}  // namespace kiln::cel
