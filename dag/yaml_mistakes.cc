#include "dag/yaml_mistakes.h"

#include <algorithm>

namespace kiln::dag {

size_t leading_tab(std::string_view line) {
  const size_t tab = line.substr(0, line.find_first_not_of(" \t")).find('\t');
  return tab == std::string_view::npos || line.find_first_not_of(" \t\r") == std::string_view::npos
             ? std::string_view::npos
             : tab;
}

std::string hint_for(std::string_view message, std::string_view line, size_t column) {
  if (line.find("{{") != std::string_view::npos) return kTemplate;
  const char at = column < line.size() ? line[column] : '\0';
  if (at == '*' || message.find("alias not found") != std::string_view::npos) {
    if (line.find("[*]") != std::string_view::npos)
      return "a value with `[*]` needs quotes inside `[…]`: \"$(params.list[*])\"";
    return "a value that starts with `*` needs quotes";
  }
  if (at == '@' || at == '`' || at == '%')
    return "a value that starts with " + (at == '`' ? "a backtick" : std::string("`") + at + "`") +
           " needs quotes";
  if (message.find("EOF in scalar") != std::string_view::npos) return "a quote before this is not closed";
  if (message.find("end of map not found") != std::string_view::npos ||
      message.find("end of sequence not found") != std::string_view::npos)
    return "this line is not indented like the one it belongs to";
  if (message.find("flow not found") != std::string_view::npos)
    return "a `[` or `{` before this is not closed";
  if (message.find("illegal map value") != std::string_view::npos)
    return "a value with `: ` in it needs quotes, and a field begins on a line of its own";
  return {};
}

bool is_open_quote(std::string_view text, size_t offset) {
  while (offset < text.size() && (text[offset] == '&' || text[offset] == '!')) {
    offset = std::min(text.find_first_of(" \t\r\n", offset), text.size());
    offset = std::min(text.find_first_not_of(" \t\r\n", offset), text.size());
  }
  if (offset >= text.size() || (text[offset] != '"' && text[offset] != '\'')) return false;
  const char quote = text[offset];
  for (size_t i = offset + 1; i < text.size(); ++i) {
    if (quote == '"' && text[i] == '\\') {
      ++i;
    } else if (text[i] == quote) {
      if (quote == '"' || i + 1 == text.size() || text[i + 1] != quote) return false;
      ++i;
    }
  }
  return true;
}

std::string in_words(const std::string& message) {
  if (message.find("end of map not found") != std::string::npos)
    return "this is no field of the mapping above";
  if (message.find("end of sequence not found") != std::string::npos)
    return "this is no item of the list above";
  if (message.find("map flow not found") != std::string::npos) return "`{` without its `}`";
  if (message.find("sequence flow not found") != std::string::npos) return "`[` without its `]`";
  if (message.find("illegal map value") != std::string::npos) return "a second `:` that begins no field";
  if (message.find("unknown token") != std::string::npos) return "a value cannot begin with this character";
  if (message.find("anchor is not defined") != std::string::npos)
    return "`*` begins an alias, and there is no such anchor";
  return message;
}

}  // namespace kiln::dag
