// Strings and bytes as literals: langdef, "String and Bytes Values".
#include "base/utf8.h"
#include "dag/cel/lexer.h"
#include "dag/cel/numbers.h"

namespace kiln::cel {
namespace {

// One escape at the front of `text`, behind its backslash, is appended to `out` and taken off. False when it
// is none.
class Unescape {
 public:
  Unescape(std::string_view text, bool bytes) : text_(text), bytes_(bytes) {}

  std::optional<std::string> run(std::string& problem) {
    while (!text_.empty()) {
      const char c = take();
      if (c == '\r') {  // line ends are "\n" whatever the text has
        if (text_.starts_with('\n')) take();
        out_ += '\n';
      } else if (c != '\\') {
        out_ += c;
      } else if (text_.empty() || !escape()) {
        problem = problem_.empty() ? "unable to unescape string" : problem_;
        return std::nullopt;
      }
    }
    return std::move(out_);
  }

 private:
  char take() {
    const char c = text_.front();
    text_.remove_prefix(1);
    return c;
  }

  bool escape() {
    static constexpr std::string_view kNames = "abfnrtv\\'\"`?";
    static constexpr std::string_view kMeanings = "\a\b\f\n\r\t\v\\'\"`?";
    if (const size_t known = kNames.find(text_.front()); known != std::string_view::npos) {
      take();
      out_ += kMeanings[known];
      return true;
    }
    switch (text_.front()) {
      case 'x':
      case 'X':
        take();
        return code(2, 16);
      case 'u':
        take();
        return !bytes_ && code(4, 16);
      case 'U':
        take();
        return !bytes_ && code(8, 16);
      case '0':
      case '1':
      case '2':
      case '3':
        return code(3, 8);
      default:
        return false;
    }
  }

  // A byte in bytes, a code point in a string.
  bool code(size_t digits, int base) {
    if (text_.size() < digits) return false;
    const auto value = parse_uint(text_.substr(0, digits), base);
    if (!value) return false;
    text_.remove_prefix(digits);
    if (bytes_) {
      out_ += static_cast<char>(*value);
      return true;
    }
    if (append_code_point(out_, static_cast<char32_t>(*value))) return true;
    problem_ = "invalid unicode code point";
    return false;
  }

  std::string_view text_;
  bool bytes_;
  std::string out_;
  std::string problem_;
};

std::string with_line_ends(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\r') {
      out += text[i];
      continue;
    }
    out += '\n';
    if (text.substr(i + 1).starts_with('\n')) ++i;
  }
  return out;
}

}  // namespace

std::optional<std::string> unquote(const Token& token, std::string& problem) {
  const size_t prefix = token.text.find_first_of("\"'");
  std::string_view body = token.text.substr(prefix);
  const bool triple = body.size() >= 6 && body[1] == body[0] && body[2] == body[0];
  body = triple ? body.substr(3, body.size() - 6) : body.substr(1, body.size() - 2);
  const bool raw = token.text.substr(0, prefix).find_first_of("rR") != std::string_view::npos;
  if (raw) return with_line_ends(body);
  return Unescape(body, token.kind == Token::Kind::Bytes).run(problem);
}

}  // namespace kiln::cel
