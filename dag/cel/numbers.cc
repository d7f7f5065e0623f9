#include "dag/cel/numbers.h"

#include <charconv>
#include <cmath>
#include <cstdlib>

namespace kiln::cel {
namespace {

template <class Number, class... Format>
std::optional<Number> parse_whole(std::string_view text, Format... format) {
  Number out{};
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), out, format...);
  if (problem != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return out;
}

// value == 0.d1d2d3… × 10^point
struct Digits {
  std::string digits;
  int point = 0;
};

Digits shortest_digits(double magnitude) {
  char buffer[64];
  const auto end =
      std::to_chars(buffer, buffer + sizeof buffer, magnitude, std::chars_format::scientific).ptr;
  const std::string_view text(buffer, static_cast<size_t>(end - buffer));
  const size_t e = text.find('e');
  Digits out;
  for (const char c : text.substr(0, e))
    if (c != '.') out.digits += c;
  const size_t exponent = text[e + 1] == '+' ? e + 2 : e + 1;
  out.point = static_cast<int>(parse_int(text.substr(exponent)).value_or(0)) + 1;
  return out;
}

std::string without_exponent(const Digits& number) {
  const auto count = static_cast<int>(number.digits.size());
  if (number.point <= 0) return "0." + std::string(static_cast<size_t>(-number.point), '0') + number.digits;
  if (number.point >= count)
    return number.digits + std::string(static_cast<size_t>(number.point - count), '0');
  const auto point = static_cast<size_t>(number.point);
  return number.digits.substr(0, point) + "." + number.digits.substr(point);
}

std::string with_exponent(const Digits& number) {
  std::string out = number.digits.substr(0, 1);
  if (number.digits.size() > 1) out += "." + number.digits.substr(1);
  const int exponent = number.point - 1;
  const int magnitude = exponent < 0 ? -exponent : exponent;
  out += exponent < 0 ? "e-" : "e+";
  if (magnitude < 10) out += '0';
  return out + std::to_string(magnitude);
}

std::string not_finite(double value, std::string_view infinity) {
  if (std::isnan(value)) return "NaN";
  return (value < 0 ? "-" : "") + std::string(infinity);
}

std::string sign(double value) {
  return std::signbit(value) ? "-" : "";
}

std::string formatted(double value, std::chars_format format, int precision) {
  if (!std::isfinite(value)) return not_finite(value, "Infinity");
  std::string out(static_cast<size_t>(precision) + 340, '\0');  // the largest double has 309 digits
  const auto result = std::to_chars(out.data(), out.data() + out.size(), value, format, precision);
  out.resize(static_cast<size_t>(result.ptr - out.data()));
  return out;
}

}  // namespace

std::optional<int64_t> parse_int(std::string_view text, int base) {
  if (text.starts_with('+')) {
    text.remove_prefix(1);
    if (text.starts_with('-')) return std::nullopt;
  }
  return parse_whole<int64_t>(text, base);
}

std::optional<uint64_t> parse_uint(std::string_view text, int base) {
  return parse_whole<uint64_t>(text, base);
}

std::optional<double> parse_double(std::string_view text) {
  if (text.starts_with('+')) {
    text.remove_prefix(1);
    if (text.starts_with('-')) return std::nullopt;
  }
  if (text.find('(') != std::string_view::npos) return std::nullopt;  // from_chars knows "nan(…)"
  double out = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (end != text.data() + text.size()) return std::nullopt;
  if (problem == std::errc()) return out;
  if (problem != std::errc::result_out_of_range) return std::nullopt;
  // Too large is an error, too small is not; strtod tells them apart.
  const double rounded = std::strtod(std::string(text).c_str(), nullptr);
  if (std::isinf(rounded)) return std::nullopt;
  return rounded;
}

std::string shortest(double value) {
  if (!std::isfinite(value)) return std::isnan(value) ? "NaN" : value < 0 ? "-Inf" : "+Inf";
  if (value == 0) return sign(value) + "0";
  const Digits digits = shortest_digits(std::fabs(value));
  const int exponent = digits.point - 1;
  const bool plain = exponent >= -4 && exponent < 6;
  return sign(value) + (plain ? without_exponent(digits) : with_exponent(digits));
}

std::string shortest_fixed(double value) {
  if (!std::isfinite(value)) return not_finite(value, "Infinity");
  if (value == 0) return sign(value) + "0";
  return sign(value) + without_exponent(shortest_digits(std::fabs(value)));
}

std::string fixed(double value, int precision) {
  return formatted(value, std::chars_format::fixed, precision);
}

std::string scientific(double value, int precision) {
  return formatted(value, std::chars_format::scientific, precision);
}

std::string in_base(bool negative, uint64_t magnitude, int base, bool upper_case) {
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, magnitude, base).ptr;
  std::string out = negative ? "-" : "";
  for (const char* c = buffer; c != end; ++c)
    out += upper_case && *c >= 'a' ? static_cast<char>(*c - 'a' + 'A') : *c;
  return out;
}

}  // namespace kiln::cel
