#include "dag/quantity.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace kiln::dag {

bool is_quantity(std::string_view text) {
  if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
  size_t digits = 0, dots = 0, at = 0;
  for (; at < text.size(); ++at) {
    if (text[at] >= '0' && text[at] <= '9')
      ++digits;
    else if (text[at] == '.' && dots == 0)
      ++dots;
    else
      break;
  }
  if (digits == 0) return false;
  constexpr std::array<std::string_view, 16> kUnits{"",  "n", "u",  "m",  "k",  "M",  "G",  "T",
                                                    "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
  std::string_view unit = text.substr(at);
  if (std::ranges::find(kUnits, unit) != kUnits.end()) return true;
  if (!unit.starts_with('e') && !unit.starts_with('E')) return false;
  unit.remove_prefix(1);
  if (unit.starts_with('-') || unit.starts_with('+')) unit.remove_prefix(1);
  return !unit.empty() && unit.find_first_not_of("0123456789") == std::string_view::npos;
}

std::optional<double> parse_quantity(std::string_view text) {
  double number = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (problem != std::errc() || !(number >= 0) || number > 1e15) return std::nullopt;
  const std::string_view unit = text.substr(static_cast<size_t>(end - text.data()));
  constexpr std::array<std::pair<std::string_view, double>, 12> kUnits{{{"", 1},
                                                                        {"m", 1e-3},
                                                                        {"k", 1e3},
                                                                        {"M", 1e6},
                                                                        {"G", 1e9},
                                                                        {"T", 1e12},
                                                                        {"P", 1e15},
                                                                        {"Ki", 0x1p10},
                                                                        {"Mi", 0x1p20},
                                                                        {"Gi", 0x1p30},
                                                                        {"Ti", 0x1p40},
                                                                        {"Pi", 0x1p50}}};
  for (const auto& [name, factor] : kUnits)
    if (unit == name) return std::min(number * factor, 1e18);
  return std::nullopt;
}

}  // namespace kiln::dag
