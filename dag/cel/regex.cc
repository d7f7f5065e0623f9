#include "dag/cel/regex.h"

#include <algorithm>
#include <re2/re2.h>

namespace kiln::cel {
namespace {

constexpr int64_t kCompiledBytes = 1 << 20;

}  // namespace

Regex::Regex(std::string pattern) : pattern_(std::move(pattern)) {}
Regex::~Regex() = default;

const re2::RE2& Regex::compiled() const {
  std::call_once(once_, [this] {
    re2::RE2::Options options;
    options.set_log_errors(false);
    options.set_never_capture(true);
    options.set_max_mem(kCompiledBytes);
    compiled_ = std::make_unique<re2::RE2>(pattern_, options);
  });
  return *compiled_;
}

const std::string& Regex::problem() const {
  return compiled().error();
}

size_t Regex::program_size() const {
  return static_cast<size_t>(std::max(compiled().ProgramSize(), 1));
}

bool Regex::matches(std::string_view text) const {
  return re2::RE2::PartialMatch(re2::StringPiece(text.data(), text.size()), compiled());
}

}  // namespace kiln::cel
