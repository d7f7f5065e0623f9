#include "dag/cel/lexer.h"

#include <algorithm>
#include <array>

#include "base/utf8.h"

namespace kiln::cel {
namespace {

using Kind = Token::Kind;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
bool is_hex_digit(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

size_t skip_blanks(std::string_view text, size_t at) {
  while (at < text.size()) {
    if (text.substr(at).starts_with("//")) {
      at = std::min(text.find('\n', at), text.size());
    } else if (std::string_view(" \t\r\n\f").find(text[at]) != std::string_view::npos) {
      ++at;
    } else {
      break;
    }
  }
  return at;
}

template <class Predicate>
size_t length_while(std::string_view text, size_t at, Predicate predicate) {
  size_t end = at;
  while (end < text.size() && predicate(text[end])) ++end;
  return end - at;
}

// "e10", "E-3": its length, 0 when there is none.
size_t exponent_length(std::string_view text, size_t at) {
  if (at >= text.size() || (text[at] != 'e' && text[at] != 'E')) return 0;
  size_t digits = at + 1;
  if (digits < text.size() && (text[digits] == '+' || text[digits] == '-')) ++digits;
  const size_t count = length_while(text, digits, is_digit);
  return count == 0 ? 0 : digits + count - at;
}

Token number(std::string_view rest, uint32_t offset) {
  size_t length = 0;
  Kind kind = Kind::Int;
  if (rest.starts_with("0x") && length_while(rest, 2, is_hex_digit) > 0) {
    length = 2 + length_while(rest, 2, is_hex_digit);
  } else {
    length = length_while(rest, 0, is_digit);
    if (length < rest.size() && rest[length] == '.') {
      if (const size_t fraction = length_while(rest, length + 1, is_digit); fraction > 0) {
        length += 1 + fraction;
        kind = Kind::Double;
      }
    }
    if (const size_t exponent = exponent_length(rest, length); exponent > 0) {
      length += exponent;
      kind = Kind::Double;
    }
  }
  if (kind == Kind::Int && length < rest.size() && (rest[length] == 'u' || rest[length] == 'U')) {
    ++length;
    kind = Kind::Uint;
  }
  return {kind, offset, rest.substr(0, length)};
}

// How many bytes of prefix stand before a string's quote; npos when this is no string.
size_t string_prefix(std::string_view rest) {
  size_t at = 0;
  if (at < rest.size() && (rest[at] == 'b' || rest[at] == 'B')) ++at;
  if (at < rest.size() && (rest[at] == 'r' || rest[at] == 'R')) ++at;
  return at < rest.size() && (rest[at] == '"' || rest[at] == '\'') ? at : std::string_view::npos;
}

std::string_view quotes_at(std::string_view rest) {
  const char quote = rest.front();
  return rest.size() >= 3 && rest[1] == quote && rest[2] == quote ? rest.substr(0, 3) : rest.substr(0, 1);
}

Token string_literal(std::string_view rest, size_t prefix, uint32_t offset, std::string& problem) {
  const bool is_bytes = rest[0] == 'b' || rest[0] == 'B';
  const bool raw = prefix > 0 && (rest[prefix - 1] == 'r' || rest[prefix - 1] == 'R');
  const std::string_view quotes = quotes_at(rest.substr(prefix));
  size_t at = prefix + quotes.size();
  while (at < rest.size()) {
    if (rest.substr(at).starts_with(quotes))
      return {is_bytes ? Kind::Bytes : Kind::String, offset, rest.substr(0, at + quotes.size())};
    if (quotes.size() == 1 && (rest[at] == '\n' || rest[at] == '\r')) break;
    at += !raw && rest[at] == '\\' ? 2 : 1;
  }
  problem = "Syntax error: a string without its closing " + std::string(quotes);
  return {Kind::Invalid, offset, rest.substr(0, prefix + quotes.size())};
}

Token word(std::string_view rest, uint32_t offset) {
  const std::string_view text =
      rest.substr(0, length_while(rest, 0, [](char c) { return is_letter(c) || is_digit(c); }));
  const Kind kind = text == "true"    ? Kind::True
                    : text == "false" ? Kind::False
                    : text == "null"  ? Kind::Null
                    : text == "in"    ? Kind::In
                                      : Kind::Identifier;
  return {kind, offset, text};
}

Token quoted_identifier(std::string_view rest, uint32_t offset, std::string& problem) {
  const size_t length = length_while(rest, 1, [](char c) {
    return is_letter(c) || is_digit(c) || c == '.' || c == '-' || c == '/' || c == ' ';
  });
  if (length > 0 && rest.substr(length + 1).starts_with('`'))
    return {Kind::QuotedIdentifier, offset, rest.substr(0, length + 2)};
  problem = "Syntax error: a quoted identifier holds letters, digits and any of \"_.-/ \"";
  return {Kind::Invalid, offset, rest.substr(0, 1)};
}

Token symbol(std::string_view rest, uint32_t offset, std::string& problem) {
  static constexpr std::array<std::string_view, 24> kSymbols{"==", "!=", "<=", ">=", "&&", "||", "<", ">",
                                                             "[",  "]",  "{",  "}",  "(",  ")",  ".", ",",
                                                             "-",  "!",  "?",  ":",  "+",  "*",  "/", "%"};
  for (const std::string_view candidate : kSymbols)
    if (rest.starts_with(candidate)) return {Kind::Symbol, offset, rest.substr(0, candidate.size())};
  const std::string_view found = rest.substr(0, code_point_bytes(rest.front()));
  const bool printable = static_cast<unsigned char>(found[0]) >= ' ' && found[0] != '\x7f';
  problem = "Syntax error: token recognition error at: '" +
            (printable ? std::string(found)
                       : "\\x" + std::string{"0123456789abcdef"[static_cast<unsigned char>(found[0]) >> 4],
                                             "0123456789abcdef"[found[0] & 15]}) +
            "'";
  return {Kind::Invalid, offset, found};
}

}  // namespace

Token next_token(std::string_view text, size_t from, std::string& problem) {
  const size_t at = skip_blanks(text, from);
  const auto offset = static_cast<uint32_t>(at);
  const std::string_view rest = text.substr(at);
  if (rest.empty()) return {Kind::End, offset, {}};
  const char c = rest.front();
  if (is_digit(c)) return number(rest, offset);
  if (c == '.' && rest.size() > 1 && is_digit(rest[1])) return number(rest, offset);
  if (const size_t prefix = string_prefix(rest); prefix != std::string_view::npos)
    return string_literal(rest, prefix, offset, problem);
  if (is_letter(c)) return word(rest, offset);
  if (c == '`') return quoted_identifier(rest, offset, problem);
  return symbol(rest, offset, problem);
}

}  // namespace kiln::cel
