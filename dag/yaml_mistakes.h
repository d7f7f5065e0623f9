#pragma once

#include <string>
#include <string_view>

// Reading the text of a file that is not valid YAML: where the mistake really is, and what it probably was.
namespace kiln::dag {

inline constexpr const char* kTemplate =
    "`{{` is of a template: render it first, as with `helm template`; a text with `{{` in it needs quotes";

// Where a tab stands in the indentation of a line; npos when there is none.
size_t leading_tab(std::string_view line);
// Whether the scalar at `offset` (behind its anchor or tag, if it has them) is in quotes that are never
// closed. yaml-cpp takes the end of the file for their end when a line break stands before it: the last
// scalar of a file is then the rest of it.
bool is_open_quote(std::string_view text, size_t offset);

// For one of yaml-cpp's messages, and the line and column (from 0) that it names; "" where nothing is known.
std::string hint_for(std::string_view message, std::string_view line, size_t column);
// The message, or other words where a user has no use for yaml-cpp's.
std::string in_words(const std::string& message);

}  // namespace kiln::dag
