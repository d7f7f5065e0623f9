#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kiln {

// A place in a text that a user wrote. Lines and columns count from 1; 0 means "the file as a whole".
// Columns count bytes.
struct Position {
  int line = 0;
  int column = 0;
  auto operator<=>(const Position&) const = default;
};

enum class Severity { Error, Warning, Note };

// Something wrong in a user's file. Diagnostics are collected, never thrown one by one.
struct Diagnostic {
  Severity severity = Severity::Error;
  std::string file;  // as the user named it
  Position at;
  std::string message;
  std::string hint;  // e.g. "did you mean `runAfter`?"; may be empty

  auto operator<=>(const Diagnostic&) const = default;
};

using Diagnostics = std::vector<Diagnostic>;

bool has_errors(std::span<const Diagnostic> diagnostics);

// "file:line:col: error: message", then the line and a caret (when `source` is the file's text), then
// "  hint: …". Ends with a newline.
std::string render(const Diagnostic& diagnostic, std::string_view source = {});
// The same, for many diagnostics of one text.
class Lines;
std::string render(const Diagnostic& diagnostic, const Lines& source);

}  // namespace kiln
