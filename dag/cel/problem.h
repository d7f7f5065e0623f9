#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/diagnostic.h"

namespace kiln::cel {

// Something wrong with an expression: its syntax, its types, or what it did when it was evaluated.
struct Problem {
  std::string message;
  uint32_t offset = 0;  // in bytes, from the start of the expression
  Position at;          // the same place as line and column inside the expression

  bool operator==(const Problem&) const = default;
};

using Problems = std::vector<Problem>;

// Of one expression, no more are reported.
inline constexpr size_t kMostProblems = 100;

Position position_of(std::string_view text, size_t offset);

}  // namespace kiln::cel
