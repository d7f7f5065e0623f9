#pragma once

#include <string>
#include <string_view>

// Text as a terminal shows it: columns instead of bytes. UTF-8 whatever the locale is; what is no UTF-8
// counts as one replacement character a byte.
namespace kiln::cli {

// Wide characters take two columns, combining ones none.
size_t columns_of(std::string_view text);

// At most `columns` wide; what does not fit is cut and ends in "…".
std::string fit(std::string_view text, size_t columns);

// A line of some program's output, made harmless: no escape sequences, no control characters; tabs are
// spaces; of what was overwritten after a carriage return the last is left.
std::string printable(std::string_view line);

}  // namespace kiln::cli
