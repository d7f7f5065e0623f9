#include "dag/windowed_text.h"

namespace kiln::dag {
namespace {

constexpr size_t kWindow = 64u << 10;

}  // namespace

WindowedText::int_type WindowedText::underflow() {
  const size_t offset = marks_.size() * kWindow;  // windows before this one are behind us
  if (stopped_ || offset >= text_.size()) return traits_type::eof();
  const size_t behind = read_ / kWindow;
  if (!marks_.empty() && marks_.back() - (behind > 0 ? marks_[behind - 1] : 0) > most_marks_) {
    stopped_ = true;
    return traits_type::eof();
  }
  const std::string_view window = text_.substr(offset, kWindow);
  size_t found = 0;
  for (const char c : window)
    found += c == '[' || c == ']' || c == '{' || c == '}' || c == ','    ? 2
             : c == '"' || c == '\'' || c == '&' || c == '!' || c == '*' ? 1
                                                                         : 0;
  marks_.push_back((marks_.empty() ? 0 : marks_.back()) + found);
  char* begin = const_cast<char*>(window.data());
  setg(begin, begin, begin + window.size());
  return traits_type::to_int_type(*begin);
}

}  // namespace kiln::dag
