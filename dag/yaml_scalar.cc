#include <algorithm>
#include <array>

#include "base/text.h"
#include "dag/yaml.h"

namespace kiln::dag {
namespace {

bool is_number(std::string_view text) {
  if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
  if (text.empty()) return false;
  if (iequals(text, ".inf") || iequals(text, ".nan")) return true;
  for (const auto& [prefix, allowed] :
       {std::pair{"0x", "0123456789abcdefABCDEF"}, std::pair{"0o", "01234567"}, std::pair{"0b", "01"}})
    if (iequals(text.substr(0, 2), prefix))
      return text.size() > 2 && text.find_first_not_of(allowed, 2) == std::string_view::npos;
  size_t digits = 0, dots = 0, exponents = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c >= '0' && c <= '9') {
      ++digits;
    } else if (c == '_' && digits > 0) {
      continue;  // 1_000
    } else if (c == '.' && exponents == 0) {
      if (++dots > 1) return false;
    } else if ((c == 'e' || c == 'E') && digits > 0 && exponents == 0) {
      ++exponents;
      if (i + 1 < text.size() && (text[i + 1] == '+' || text[i + 1] == '-')) ++i;
      if (i + 1 == text.size()) return false;
    } else {
      return false;
    }
  }
  return digits > 0;
}

}  // namespace

ScalarType scalar_type(const Node& node) {
  if (node.kind != Node::Kind::Scalar || !node.plain) return ScalarType::String;
  constexpr std::array<std::string_view, 22> kBooleans{
      "true", "True", "TRUE", "false", "False", "FALSE", "yes", "Yes", "YES", "no", "No",
      "NO",   "on",   "On",   "ON",    "off",   "Off",   "OFF", "y",   "Y",   "n",  "N"};
  if (std::ranges::find(kBooleans, node.scalar) != kBooleans.end()) return ScalarType::Boolean;
  return is_number(node.scalar) ? ScalarType::Number : ScalarType::String;
}

}  // namespace kiln::dag
