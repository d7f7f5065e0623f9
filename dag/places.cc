#include "dag/places.h"

#include <algorithm>
#include <functional>
#include <tuple>

namespace kiln::dag {
namespace {

std::string_view without_mark(std::string_view source) {
  if (source.starts_with("\xEF\xBB\xBF")) source.remove_prefix(3);
  return source;
}

bool is_before(std::string_view a, std::string_view b) {
  const int order = a.compare(b);
  return order < 0 || (order == 0 && std::less<>()(a.data(), b.data()));
}

}  // namespace

Places::Places(std::string_view source) : source_(without_mark(source)), lines_(source_) {
  for (size_t at = source_.find("$("); at != std::string_view::npos; at = source_.find("$(", at + 2)) {
    // As for find_variables(): a variable holds no parenthesis.
    const size_t end = source_.find_first_of("()", at + 2);
    if (end == std::string_view::npos) break;
    if (source_[end] == ')') variables_.push_back(source_.substr(at, end + 1 - at));
  }
  std::ranges::sort(variables_, is_before);
}

Position Places::find(Position from, std::string_view variable) const {
  const size_t begin = lines_.offset(from);
  if (begin == std::string_view::npos || begin > source_.size()) return from;
  const char* first = source_.data() + begin;
  const auto found = std::ranges::partition_point(variables_, [&](std::string_view known) {
    const int order = known.compare(variable);
    return order < 0 || (order == 0 && std::less<>()(known.data(), first));
  });
  if (found == variables_.end() || *found != variable) return from;
  return lines_.position(static_cast<size_t>(found->data() - source_.data()));
}

Position Places::find_text(Position from, std::string_view text) const {
  constexpr size_t kMostBefore = 64 << 10;
  const size_t begin = lines_.offset(from);
  if (text.empty() || begin == std::string_view::npos || begin > source_.size()) return from;
  const size_t found = source_.substr(begin, kMostBefore + text.size()).find(text);
  return found == std::string_view::npos ? from : lines_.position(begin + found);
}

}  // namespace kiln::dag
