#include "dag/cel/parser.h"

#include <algorithm>
#include <array>

#include "dag/cel/numbers.h"
#include "dag/cel/regex.h"
#include "dag/cel/utf8.h"

namespace kiln::cel {
namespace {

using Kind = Token::Kind;

constexpr std::array<std::string_view, 17> kReserved{
    "as",  "break", "const",   "continue",  "else",   "for", "function", "if",   "import",
    "let", "loop",  "package", "namespace", "return", "var", "void",     "while"};

struct Binary {
  Operator op = Operator::None;
  int precedence = 0;
};

Binary binary_operator(const Token& token) {
  if (token.kind == Kind::In) return {Operator::In, 1};
  if (token.kind != Kind::Symbol) return {};
  if (token.text == "<") return {Operator::Less, 1};
  if (token.text == "<=") return {Operator::LessEquals, 1};
  if (token.text == ">") return {Operator::Greater, 1};
  if (token.text == ">=") return {Operator::GreaterEquals, 1};
  if (token.text == "==") return {Operator::Equals, 1};
  if (token.text == "!=") return {Operator::NotEquals, 1};
  if (token.text == "+") return {Operator::Add, 2};
  if (token.text == "-") return {Operator::Subtract, 2};
  if (token.text == "*") return {Operator::Multiply, 3};
  if (token.text == "/") return {Operator::Divide, 3};
  if (token.text == "%") return {Operator::Modulo, 3};
  return {};
}

bool is_number(const Token& token) {
  return token.kind == Kind::Int || token.kind == Kind::Double;
}

}  // namespace

// One level of nesting for as long as it lives: what keeps the stack bounded.
class Parser::Nesting {
 public:
  explicit Nesting(Parser& parser) : parser_(parser) {
    if (++parser_.depth_ > parser_.limits_.depth)
      parser_.fail("expression is nested more than " + std::to_string(parser_.limits_.depth) + " levels deep",
                   parser_.token_.offset);
  }
  ~Nesting() { --parser_.depth_; }
  Nesting(const Nesting&) = delete;
  Nesting& operator=(const Nesting&) = delete;

 private:
  Parser& parser_;
};

Parser::Parser(std::string_view text, Problems& problems, const ParseLimits& limits)
    : problems_(problems), limits_(limits) {
  out_.text_ = text;
}

std::optional<Expression> Parser::run() {
  const size_t before = problems_.size();
  try {
    if (out_.text_.size() > limits_.bytes) {
      fail("expression has " + std::to_string(out_.text_.size()) + " bytes, the limit is " +
               std::to_string(limits_.bytes),
           0);
    }
    if (const auto invalid = find_invalid_utf8(out_.text_)) fail("expression is not valid UTF-8", *invalid);
    advance();
    out_.root_ = expression();
    if (token_.kind != Kind::End) unexpected("the end of the expression");
  } catch (const Stop&) {
  }
  if (problems_.size() > before) return std::nullopt;
  return std::move(out_);
}

NodeId Parser::expression() {
  const Nesting nesting(*this);
  const NodeId condition = chain(Operator::Or);
  if (!token_.is("?")) return condition;
  const Token question = take();
  const NodeId yes = chain(Operator::Or);
  expect(":", "between the two results of '?'");
  const NodeId no = expression();
  return add_operator(Operator::Conditional, question, {condition, yes, no});
}

NodeId Parser::chain(Operator op) {
  const std::string_view symbol = op == Operator::Or ? "||" : "&&";
  const auto operand = [&] { return op == Operator::Or ? chain(Operator::And) : binary(1); };
  std::vector<NodeId> operands{operand()};
  if (!token_.is(symbol)) return operands.front();
  const Token first = token_;
  while (take(symbol)) operands.push_back(operand());
  return add_operator(op, first, operands);
}

NodeId Parser::binary(int least_precedence) {
  NodeId left = unary();
  while (true) {
    const Binary found = binary_operator(token_);
    if (found.op == Operator::None || found.precedence < least_precedence) return left;
    const Token token = take();
    left = add_operator(found.op, token, {left, binary(found.precedence + 1)});
  }
}

NodeId Parser::unary() {
  const Token first = token_;
  if (!first.is("!") && !first.is("-")) return member();
  size_t count = 0;
  while (token_.is(first.text)) {
    ++count;
    advance();
  }
  // A minus right before a number belongs to it: only so can the smallest int be written.
  const bool negative = first.is("-") && is_number(token_);
  if (negative) --count;
  NodeId operand = 0;
  if (negative) {
    operand = number(true);
    while (token_.is(".") || token_.is("[")) operand = selected(operand);
  } else {
    operand = member();
  }
  // Pairs cancel, but one of each kind stays for the sake of the type.
  const Operator op = first.is("!") ? Operator::Not : Operator::Negate;
  if (count > 2) count = count % 2 == 0 ? 2 : 1;
  for (; count > 0; --count) operand = add_operator(op, first, {operand});
  return operand;
}

NodeId Parser::member() {
  NodeId operand = primary();
  while (token_.is(".") || token_.is("[")) operand = selected(operand);
  if (token_.is("{") && out_.nodes_[operand].qualified) message(operand);
  return operand;
}

// `.name`, `.name(…)` or `[…]` behind an operand.
NodeId Parser::selected(NodeId operand) {
  const Token opening = take();
  if (token_.is("?")) fail("unsupported syntax '" + std::string(opening.text) + "?'", opening.offset);
  if (opening.is("[")) {
    const NodeId index = expression();
    expect("]", "after an index");
    return add_operator(Operator::Index, opening, {operand, index});
  }
  if (token_.kind != Kind::Identifier && token_.kind != Kind::QuotedIdentifier) unexpected("a field name");
  const Token name = take();
  const auto body_begin = static_cast<NodeId>(out_.nodes_.size());
  if (name.kind == Kind::Identifier && take("("))
    return call(name, arguments({operand}, ")"), true, body_begin);
  Node node{.kind = Node::Kind::Select, .offset = name.offset};
  const bool quoted = name.kind == Kind::QuotedIdentifier;
  node.qualified = !quoted && out_.nodes_[operand].qualified;
  node.payload = intern(quoted ? name.text.substr(1, name.text.size() - 2) : name.text);
  const NodeId id = add(node, {operand});
  if (!node.qualified || (name.text != "Timestamp" && name.text != "Duration")) return id;
  // The two types whose names are qualified.
  const std::string full = out_.qualified_name(out_.nodes_[id]);
  for (const Value::Kind kind : {Value::Kind::Timestamp, Value::Kind::Duration})
    if (full == type_name(kind)) return add_constant(Value::type(kind), name);
  return id;
}

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

// How deep the evaluator goes: chains of binary operators are walked, not nested.
bool Parser::fits(const Node& node, const std::vector<NodeId>& children) {
  const auto in_chain = [](const Node& n) {
    return n.kind == Node::Kind::Operator && n.op >= Operator::Less && n.op <= Operator::Modulo;
  };
  size_t depth = 1;
  for (size_t i = 0; i < children.size(); ++i) {
    const Node& child = out_.nodes_[children[i]];
    const bool chained = i == 0 && in_chain(node) && in_chain(child);
    depth = std::max<size_t>(depth, child.depth + (chained ? 0u : 1u));
  }
  depth_of_last_ = depth;
  return depth <= limits_.depth;
}

NodeId Parser::add(Node node, const std::vector<NodeId>& children) {
  if (!fits(node, children))
    fail("expression is nested more than " + std::to_string(limits_.depth) + " levels deep", node.offset);
  node.depth = static_cast<uint16_t>(depth_of_last_);
  node.first = static_cast<uint32_t>(out_.children_.size());
  node.count = static_cast<uint32_t>(children.size());
  out_.children_.insert(out_.children_.end(), children.begin(), children.end());
  out_.nodes_.push_back(node);
  return static_cast<NodeId>(out_.nodes_.size() - 1);
}

NodeId Parser::add_constant(Value value, const Token& token) {
  out_.constants_.push_back(std::move(value));
  return add({.kind = Node::Kind::Constant,
              .offset = token.offset,
              .payload = static_cast<uint32_t>(out_.constants_.size() - 1)});
}

NodeId Parser::add_operator(Operator op, const Token& token, const std::vector<NodeId>& children) {
  return add({.kind = Node::Kind::Operator, .op = op, .offset = token.offset}, children);
}

uint32_t Parser::intern(std::string_view name) {
  const auto [at, inserted] =
      interned_.try_emplace(std::string(name), static_cast<uint32_t>(out_.names_.size()));
  if (inserted) out_.names_.emplace_back(name);
  return at->second;
}

void Parser::advance() {
  const size_t from = token_.offset + token_.text.size();
  std::string problem;
  token_ = next_token(out_.text_, from, problem);
  if (token_.kind == Kind::Invalid) fail(std::move(problem), token_.offset);
}

Token Parser::take() {
  const Token taken = token_;
  advance();
  return taken;
}

bool Parser::take(std::string_view symbol) {
  if (!token_.is(symbol)) return false;
  advance();
  return true;
}

void Parser::expect(std::string_view symbol, std::string_view where) {
  if (!take(symbol)) unexpected("'" + std::string(symbol) + "' " + std::string(where));
}

void Parser::report(std::string message, size_t offset) {
  problems_.push_back({std::move(message), static_cast<uint32_t>(offset), position_of(out_.text_, offset)});
}

void Parser::fail(std::string message, size_t offset) {
  report(std::move(message), offset);
  throw Stop();
}

void Parser::unexpected(std::string_view wanted) {
  const std::string found = token_.kind == Kind::End ? "<EOF>" : std::string(token_.text);
  fail("Syntax error: mismatched input '" + found + "' expecting " + std::string(wanted), token_.offset);
}

std::optional<Expression> parse(std::string_view text, Problems& problems, const ParseLimits& limits) {
  return Parser(text, problems, limits).run();
}

}  // namespace kiln::cel
