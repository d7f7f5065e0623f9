#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace kiln::cli {

// Words for people go to stderr, results to stdout.
enum class Colour { Plain, Bold, Dim, Red, Green, Yellow, Blue };

// `text` in a colour, if stderr is a terminal (NO_COLOR and CLICOLOR_FORCE decide otherwise).
std::string paint(Colour colour, std::string_view text);

// "kiln: <message>", its cause, and the hint on a line of its own.
void print_error(const Error& error);
void say(std::string_view line);          // one line to stderr
void write_words(std::string_view text);  // to stderr, as it is
void print(std::string_view text);        // to stdout, as it is

// That standard output did not take all that was printed (a full disk); not when its reader just went away.
std::optional<Error> output_problem();

// Whether stderr is a terminal on which lines can be drawn again: not in CI, not TERM=dumb.
bool can_redraw();

// Columns padded to the widest cell, two spaces between: what listings print.
std::string table(const std::vector<std::vector<std::string>>& rows);

}  // namespace kiln::cli
