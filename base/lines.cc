#include "base/lines.h"

#include <algorithm>

namespace kiln {

Lines::Lines(std::string_view text) : text_(text) {
  begins_.reserve(1 + static_cast<size_t>(std::ranges::count(text, '\n')));
  begins_.push_back(0);
  for (size_t at = text.find('\n'); at != std::string_view::npos; at = text.find('\n', at + 1))
    begins_.push_back(at + 1);
}

std::string_view Lines::line(int number) const {
  if (number < 1 || static_cast<size_t>(number) > begins_.size()) return {};
  const size_t begin = begins_[static_cast<size_t>(number) - 1];
  std::string_view line = text_.substr(begin, text_.find('\n', begin) - begin);
  if (number == 1 && line.starts_with("\xEF\xBB\xBF")) line.remove_prefix(3);  // columns do not count it
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

size_t Lines::offset(Position at) const {
  if (at.line < 1 || static_cast<size_t>(at.line) > begins_.size()) return std::string_view::npos;
  return begins_[static_cast<size_t>(at.line) - 1] + static_cast<size_t>(at.column > 0 ? at.column - 1 : 0);
}

Position Lines::position(size_t offset) const {
  const auto after = std::ranges::upper_bound(begins_, offset);
  return {static_cast<int>(after - begins_.begin()), static_cast<int>(offset - *(after - 1)) + 1};
}

}  // namespace kiln
