#pragma once

#include <string>
#include <string_view>

namespace kiln::cli {

// A line that never ends is handed on in parts of about this length.
inline constexpr size_t kLongestLine = 1 << 20;

// Calls visit(line without its line break, whether it had one) for each line that `bytes` end; `partial` is
// what came of a line before, and what is left of one.
template <class Visit>
void for_each_line(std::string& partial, std::string_view bytes, Visit visit) {
  while (!bytes.empty()) {
    const size_t end = bytes.find('\n');
    const bool broken = end != std::string_view::npos;
    partial += bytes.substr(0, end);
    if (!broken && partial.size() < kLongestLine) return;
    visit(std::string_view(partial), broken);
    partial.clear();
    bytes.remove_prefix(broken ? end + 1 : bytes.size());
  }
}

}  // namespace kiln::cli
