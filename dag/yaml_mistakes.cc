#include "dag/yaml_mistakes.h"

namespace kiln::dag {

Position position_of(std::string_view text, size_t offset) {
  Position at{1, 1};
  for (size_t i = 0; i < offset; ++i) {
    if (text[i] == '\n')
      at = {at.line + 1, 1};
    else
      ++at.column;
  }
  return at;
}

size_t offset_of(std::string_view text, Position at) {
  size_t offset = 0;
  for (int line = 1; line < at.line; ++line) {
    const size_t end = text.find('\n', offset);
    if (end == std::string_view::npos) return text.size();
    offset = end + 1;
  }
  return offset + static_cast<size_t>(at.column - 1);
}

std::string_view line_at(std::string_view text, int line) {
  size_t begin = 0;
  for (; line > 0; --line) {
    begin = text.find('\n', begin);
    if (begin == std::string_view::npos) return {};
    ++begin;
  }
  return text.substr(begin, text.find('\n', begin) - begin);
}

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
  const char quote = offset < text.size() ? text[offset] : '\0';
  if (quote != '"' && quote != '\'') return false;
  for (size_t i = offset + 1; i < text.size(); ++i) {
    if (quote == '"' && text[i] == '\\')
      ++i;
    else if (text[i] == quote)
      return false;
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
