#include "dag/cel/parser.h"

#include <algorithm>

#include "base/utf8.h"

namespace kiln::cel {
namespace {

using Kind = Token::Kind;

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
    : problems_(problems), first_problem_(problems.size()), limits_(limits) {
  out_.text_ = text;
}

std::optional<Expression> Parser::run() {
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
  if (problems_.size() > first_problem_) return std::nullopt;
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
  if (problems_.size() >= first_problem_ + kMostProblems) return;
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
