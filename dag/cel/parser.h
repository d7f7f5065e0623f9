#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "dag/cel/expression.h"
#include "dag/cel/lexer.h"

namespace kiln::cel {

// Recursive descent over the grammar of langdef, "Syntax". The first syntax error ends the reading; what is
// wrong but leaves the structure clear (a reserved word, a number too large) is collected.
class Parser {
 public:
  Parser(std::string_view text, Problems& problems, const ParseLimits& limits);
  std::optional<Expression> run();

 private:
  struct Stop {};  // thrown by the first syntax error, caught by run()
  class Nesting;

  // Rules of the grammar, loosest first.
  NodeId expression();
  NodeId chain(Operator op);  // a whole chain of || or &&
  NodeId binary(int least_precedence);
  NodeId unary();
  NodeId member();
  NodeId selected(NodeId operand);
  NodeId primary();
  NodeId identifier(bool absolute);
  NodeId number(bool negative);
  NodeId literal();
  NodeId list();
  NodeId map();
  [[noreturn]] void message(NodeId name);
  std::vector<NodeId> arguments(std::vector<NodeId> children, std::string_view close);

  // Macros (parser_macros.cc).
  NodeId call(const Token& name, std::vector<NodeId> children, bool member, NodeId first_argument_node);
  NodeId macro(const Token& name, Node::Kind kind, const std::vector<NodeId>& children, NodeId body_begin);
  NodeId has(const Token& name, NodeId argument);
  void bind(std::string_view variable, uint32_t slot, NodeId begin);

  NodeId add(Node node, const std::vector<NodeId>& children = {});
  NodeId add_constant(Value value, const Token& token);
  NodeId add_operator(Operator op, const Token& token, const std::vector<NodeId>& children);
  uint32_t intern(std::string_view name);
  bool fits(const Node& node, const std::vector<NodeId>& children);

  void advance();
  Token take();
  bool take(std::string_view symbol);
  void expect(std::string_view symbol, std::string_view where);
  void report(std::string message, size_t offset);
  [[noreturn]] void fail(std::string message, size_t offset);
  [[noreturn]] void unexpected(std::string_view wanted);

  Problems& problems_;
  const size_t first_problem_;
  const ParseLimits limits_;
  Expression out_;
  std::unordered_map<std::string, uint32_t> interned_;
  Token token_;
  size_t depth_ = 0;          // of rules under way
  size_t depth_of_last_ = 0;  // of the node that fits() was asked about
};

}  // namespace kiln::cel
