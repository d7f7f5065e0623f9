#include "cli/terminal.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <unistd.h>

#include "base/fs.h"
#include "cli/display.h"

namespace kiln::cli {
namespace {

bool is_set(const char* variable) {
  const char* value = std::getenv(variable);
  return value && *value && std::string_view(value) != "0";
}

bool is_dumb() {
  const char* terminal = std::getenv("TERM");
  return !terminal || !*terminal || std::string_view(terminal) == "dumb";
}

bool colours_wanted() {
  static const bool wanted = [] {
    if (is_set("NO_COLOR")) return false;
    return is_set("CLICOLOR_FORCE") || (::isatty(2) == 1 && !is_dumb());
  }();
  return wanted;
}

std::atomic<int> output_errno{0};

// A reader that went away (`kiln … | head`) is no error of ours; of words nothing is, since there is nobody
// to tell.
void write_quietly(int fd, std::string_view text) {
  try {
    write_all(fd, text);
  } catch (const Error&) {
    if (fd == STDOUT_FILENO && errno != EPIPE) output_errno = errno;
  }
}

}  // namespace

std::string paint(Colour colour, std::string_view text) {
  if (colour == Colour::Plain || !colours_wanted()) return std::string(text);
  const char* code = "0";
  switch (colour) {
    case Colour::Plain:
      break;
    case Colour::Bold:
      code = "1";
      break;
    case Colour::Dim:
      code = "2";
      break;
    case Colour::Red:
      code = "31";
      break;
    case Colour::Green:
      code = "32";
      break;
    case Colour::Yellow:
      code = "33";
      break;
    case Colour::Blue:
      code = "34";
      break;
  }
  return "\033[" + std::string(code) + "m" + std::string(text) + "\033[0m";
}

void say(std::string_view line) {
  write_quietly(STDERR_FILENO, std::string(line) + "\n");
}

void write_words(std::string_view text) {
  write_quietly(STDERR_FILENO, text);
}

void print(std::string_view text) {
  write_quietly(STDOUT_FILENO, text);
}

std::optional<Error> output_problem() {
  if (output_errno == 0) return std::nullopt;
  return Error(ErrorKind::Infrastructure,
               "cannot write to standard output: " + std::string(std::strerror(output_errno)),
               "what was printed is not whole");
}

bool can_redraw() {
  return ::isatty(2) == 1 && !is_dumb() && !is_set("CI");
}

void print_error(const Error& error) {
  std::string text = paint(Colour::Red, "kiln: ") + error.full() + "\n";
  if (!error.hint().empty()) text += paint(Colour::Bold, "  hint: ") + error.hint() + "\n";
  write_quietly(STDERR_FILENO, text);
}

std::string table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], columns_of(row[i]));
  }
  std::string out;
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line.append(widths[i] - columns_of(row[i]) + 2, ' ');
    }
    out += line + "\n";
  }
  return out;
}

}  // namespace kiln::cli
