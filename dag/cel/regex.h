#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>

namespace re2 {
class RE2;
}

namespace kiln::cel {

// A regular expression in RE2's syntax, which is matched in time linear in the text. Compiled when it is
// first needed. Any number of threads may use it at once.
class Regex {
 public:
  explicit Regex(std::string pattern);
  ~Regex();

  const std::string& pattern() const { return pattern_; }
  // Why the pattern is none; empty when it is.
  const std::string& problem() const;
  // What matching costs for each byte of text, and compiling at once, in steps of evaluation.
  size_t program_size() const;
  // Whether it matches anywhere in the text. Only without a problem.
  bool matches(std::string_view text) const;

 private:
  const re2::RE2& compiled() const;

  std::string pattern_;
  mutable std::once_flag once_;
  mutable std::unique_ptr<re2::RE2> compiled_;
};

}  // namespace kiln::cel
