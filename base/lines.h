#pragma once

#include <string_view>
#include <vector>

#include "base/diagnostic.h"

namespace kiln {

// Where the lines of a text begin, found once: for whoever asks about many places of one text. Refers to the
// text, which has to outlive it.
class Lines {
 public:
  explicit Lines(std::string_view text);
  // From 1, without its line break; "" when there is no such line.
  std::string_view line(int number) const;
  // Of a place; npos when its line does not exist.
  size_t offset(Position at) const;
  Position position(size_t offset) const;

 private:
  std::string_view text_;
  std::vector<size_t> begins_;
};

}  // namespace kiln
