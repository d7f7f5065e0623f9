#pragma once

#include <streambuf>
#include <string_view>
#include <vector>

namespace kiln::dag {

// Gives yaml-cpp the text in windows, and no more of it when too much is held: `[` might start a key, so that
// everything up to its `]` is tokens, a few hundred bytes each, before anything comes out.
class WindowedText final : public std::streambuf {
 public:
  // `read` is how far the parser's output has come, in bytes; looked at as it grows.
  WindowedText(std::string_view text, const size_t& read, size_t most_marks)
      : text_(text), read_(read), most_marks_(2 * most_marks) {}
  bool stopped() const { return stopped_; }

 protected:
  int_type underflow() override;

 private:
  std::string_view text_;
  const size_t& read_;
  size_t most_marks_;
  std::vector<size_t> marks_;  // up to the end of each window, in halves: quotes come in pairs
  bool stopped_ = false;
};

}  // namespace kiln::dag
