#include <algorithm>

#include "dag/resolve.h"

namespace kiln::dag {

WhenVerdict evaluate_when(const std::vector<When>& whens) {
  for (const When& when : whens) {
    if (!when.cel.empty()) continue;
    const bool in =
        std::ranges::any_of(when.values, [&](const Text& value) { return value.value == when.input.value; });
    if (in != (when.op.value == "in")) return {false, ""};
  }
  return {};
}

}  // namespace kiln::dag
