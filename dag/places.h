#pragma once

#include <string_view>
#include <vector>

#include "base/diagnostic.h"
#include "base/lines.h"

namespace kiln::dag {

// Where lines and variables stand in the text of one file, found once: a file may hold mistakes by the
// thousand, and each wants its place. Refers to the text, which has to outlive it.
class Places {
 public:
  explicit Places(std::string_view source);
  // The first place of `variable`, "$(params.x)", from `from` on (where a script begins, say); `from` when
  // there is none: it is written with escapes.
  Position find(Position from, std::string_view variable) const;
  // Where `text`, that of the scalar at `from`, begins, behind its quote or `|`; `from` when it is written
  // with escapes.
  Position find_text(Position from, std::string_view text) const;

 private:
  std::string_view source_;
  Lines lines_;
  std::vector<std::string_view> variables_;  // by text, then by place
};

}  // namespace kiln::dag
