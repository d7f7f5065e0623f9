// Names, literals, lists, maps and messages: langdef, "Syntax", Primary.
#include <algorithm>
#include <array>

#include "dag/cel/numbers.h"
#include "dag/cel/parser.h"

namespace kiln::cel {
namespace {

using Kind = Token::Kind;

constexpr std::array<std::string_view, 17> kReserved{
    "as",  "break", "const",   "continue",  "else",   "for", "function", "if",   "import",
    "let", "loop",  "package", "namespace", "return", "var", "void",     "while"};

}  // namespace

NodeId Parser::primary() {
  switch (token_.kind) {
    case Kind::Identifier:
      return identifier(false);
    case Kind::Int:
    case Kind::Double:
      return number(false);
    case Kind::Uint:
    case Kind::String:
    case Kind::Bytes:
    case Kind::True:
    case Kind::False:
    case Kind::Null:
      return literal();
    default:
      break;
  }
  if (token_.is("[")) return list();
  if (token_.is("{")) return map();
  if (take(".")) return identifier(true);
  if (!take("(")) unexpected("an expression");
  const NodeId inside = expression();
  expect(")", "to close the '('");
  return inside;
}

NodeId Parser::identifier(bool absolute) {
  if (token_.kind != Kind::Identifier) unexpected("a name");
  const Token name = take();
  const auto body_begin = static_cast<NodeId>(out_.nodes_.size());
  if (std::find(kReserved.begin(), kReserved.end(), name.text) != kReserved.end())
    report("reserved identifier: " + std::string(name.text), name.offset);
  if (take("(")) return call(name, arguments({}, ")"), false, body_begin);
  Node node{.kind = Node::Kind::Identifier, .offset = name.offset};
  node.absolute = absolute;
  node.qualified = true;
  node.payload = intern(name.text);
  return add(node);
}

NodeId Parser::number(bool negative) {
  const Token token = take();
  const std::string sign = negative ? "-" : "";
  if (token.kind == Kind::Double) {
    const auto value = parse_double(sign + std::string(token.text));
    if (!value) report("invalid double literal", token.offset);
    return add_constant(Value::number(value.value_or(0)), token);
  }
  const bool hex = token.text.starts_with("0x");
  const auto value = parse_int(sign + std::string(token.text.substr(hex ? 2 : 0)), hex ? 16 : 10);
  if (!value) report("invalid int literal", token.offset);
  return add_constant(Value::integer(value.value_or(0)), token);
}

NodeId Parser::literal() {
  const Token token = take();
  switch (token.kind) {
    case Kind::True:
    case Kind::False:
      return add_constant(Value::boolean(token.kind == Kind::True), token);
    case Kind::Null:
      return add_constant(Value(), token);
    case Kind::Uint: {
      const bool hex = token.text.starts_with("0x");
      const std::string_view digits = token.text.substr(hex ? 2 : 0, token.text.size() - (hex ? 3 : 1));
      const auto value = parse_uint(digits, hex ? 16 : 10);
      if (!value) report("invalid uint literal", token.offset);
      return add_constant(Value::unsigned_integer(value.value_or(0)), token);
    }
    default: {
      std::string problem;
      std::optional<std::string> text = unquote(token, problem);
      if (!text) report(problem, token.offset);
      std::string value = std::move(text).value_or(std::string());
      return add_constant(
          token.kind == Kind::Bytes ? Value::bytes(std::move(value)) : Value::string(std::move(value)),
          token);
    }
  }
}

// Expressions with commas between them, up to `close`, which is taken, too. A list may end in a comma.
std::vector<NodeId> Parser::arguments(std::vector<NodeId> children, std::string_view close) {
  while (!take(close)) {
    if (token_.is("?")) fail("unsupported syntax '?'", token_.offset);
    children.push_back(expression());
    if (take(close)) break;
    expect(",", close == "]" ? "between items of a list" : "between arguments");
    if (close == ")" && token_.is(")")) unexpected("an argument");
  }
  return children;
}

NodeId Parser::list() {
  const Token open = take();
  const std::vector<NodeId> items = arguments({}, "]");
  return add({.kind = Node::Kind::List, .offset = open.offset}, items);
}

NodeId Parser::map() {
  const Token open = take();
  std::vector<NodeId> entries;
  while (!take("}")) {
    if (token_.is("?")) fail("unsupported syntax '?'", token_.offset);
    entries.push_back(expression());
    expect(":", "between a key and its value");
    entries.push_back(expression());
    if (take("}")) break;
    expect(",", "between entries of a map");
  }
  return add({.kind = Node::Kind::Map, .offset = open.offset}, entries);
}

// Read to its end, so that a mistake inside is what gets reported.
void Parser::message(NodeId name) {
  const Node node = out_.nodes_[name];
  advance();
  while (!take("}")) {
    if (token_.is("?")) fail("unsupported syntax '?'", token_.offset);
    if (token_.kind != Kind::Identifier && token_.kind != Kind::QuotedIdentifier) unexpected("a field name");
    advance();
    expect(":", "between a field and its value");
    (void)expression();
    if (take("}")) break;
    expect(",", "between fields");
  }
  fail("construction of messages is not supported: '" + out_.qualified_name(node) + "{…}'", node.offset);
}

}  // namespace kiln::cel
