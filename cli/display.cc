#include "cli/display.h"

#include <cwchar>

#include "base/utf8_locale.h"

namespace kiln::cli {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

// The next character of `text`: its bytes, and how many columns it takes (-1: a control character).
struct Character {
  std::string_view bytes;
  int columns = 1;
};

// Call within a Utf8Locale.
Character next_character(std::string_view text) {
  const auto first = static_cast<unsigned char>(text.front());
  if (first >= 0x20 && first < 0x7f) return {text.substr(0, 1), 1};
  wchar_t wide = 0;
  std::mbstate_t state{};
  const size_t length = std::mbrtowc(&wide, text.data(), text.size(), &state);
  if (length == 0) return {text.substr(0, 1), -1};
  if (length > text.size()) return {kReplacement, 1};
  return {text.substr(0, length), ::wcwidth(wide)};
}

size_t bytes_taken(const Character& character) {
  return character.bytes.data() == kReplacement.data() ? 1 : character.bytes.size();
}

// How long the escape sequence at the start of `text` is: CSI to its final byte, OSC and the like to BEL or
// ST, else two bytes.
size_t escape_length(std::string_view text) {
  if (text.size() < 2) return text.size();
  if (text[1] == '[') {
    for (size_t at = 2; at < text.size(); ++at)
      if (text[at] >= 0x40 && text[at] <= 0x7e) return at + 1;
    return text.size();
  }
  if (text[1] == ']' || text[1] == 'P' || text[1] == '_' || text[1] == '^') {
    for (size_t at = 2; at < text.size(); ++at) {
      if (text[at] == '\a') return at + 1;
      if (text[at] == '\033') return std::min(text.size(), at + 2);
    }
    return text.size();
  }
  return 2;
}

}  // namespace

size_t columns_of(std::string_view text) {
  const Utf8Locale locale;
  size_t columns = 0;
  while (!text.empty()) {
    const Character character = next_character(text);
    columns += static_cast<size_t>(std::max(character.columns, 0));
    text.remove_prefix(bytes_taken(character));
  }
  return columns;
}

std::string fit(std::string_view text, size_t columns) {
  if (columns_of(text) <= columns) return std::string(text);
  if (columns == 0) return {};
  const Utf8Locale locale;
  std::string out;
  for (size_t used = 0; !text.empty();) {
    const Character character = next_character(text);
    used += static_cast<size_t>(std::max(character.columns, 0));
    if (used > columns - 1) break;
    out += character.bytes;
    text.remove_prefix(bytes_taken(character));
  }
  return out + "…";
}

std::string printable(std::string_view line) {
  while (line.ends_with('\r')) line.remove_suffix(1);
  if (const size_t overwritten = line.rfind('\r'); overwritten != std::string_view::npos)
    line.remove_prefix(overwritten + 1);
  const Utf8Locale locale;
  std::string out;
  size_t columns = 0;
  while (!line.empty()) {
    if (line.front() == '\033') {
      line.remove_prefix(escape_length(line));
      continue;
    }
    if (line.front() == '\t') {
      const size_t spaces = 8 - columns % 8;
      out.append(spaces, ' ');
      columns += spaces;
      line.remove_prefix(1);
      continue;
    }
    const Character character = next_character(line);
    if (character.columns >= 0) {
      out += character.bytes;
      columns += static_cast<size_t>(character.columns);
    }
    line.remove_prefix(bytes_taken(character));
  }
  return out;
}

}  // namespace kiln::cli
