#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace kiln::cel {

struct Token {
  enum class Kind : uint8_t {
    End,
    Identifier,
    QuotedIdentifier,  // `foo-bar`
    Int,
    Uint,
    Double,
    String,
    Bytes,
    True,
    False,
    Null,
    In,
    Symbol,  // an operator or a bracket
    Invalid,
  };
  Kind kind = Kind::End;
  uint32_t offset = 0;
  std::string_view text;  // as written, quotes and prefixes included

  bool is(std::string_view symbol) const { return kind == Kind::Symbol && text == symbol; }
};

// The token at or after `offset`; white space and comments are passed over. For an Invalid one `problem` says
// why.
Token next_token(std::string_view text, size_t offset, std::string& problem);

// The value of a String or Bytes token: quotes off, escapes replaced. nullopt with a reason in `problem`.
std::optional<std::string> unquote(const Token& token, std::string& problem);

}  // namespace kiln::cel
