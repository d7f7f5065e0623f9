#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dag/cel/problem.h"
#include "dag/cel/value.h"

// A parsed expression of the Common Expression Language (github.com/google/cel-spec, doc/langdef.md).
namespace kiln::cel {

class Regex;  // regex.h

enum class Operator : uint8_t {
  None,
  Conditional,
  Or,
  And,
  Less,
  LessEquals,
  Greater,
  GreaterEquals,
  Equals,
  NotEquals,
  In,
  Add,
  Subtract,
  Multiply,
  Divide,
  Modulo,
  Negate,
  Not,
  Index,
};

// The name that messages give an operator: "_+_", "!_", "@in".
std::string_view operator_name(Operator op);

using NodeId = uint32_t;

// What stands in a node's children, in order:
//   Operator      operands; Or and And have two or more, a whole chain
//   Select, Has   what is selected from
//   Call          arguments, the receiver first when `member`
//   List          items
//   Map           key, value, key, value, …
//   All … Filter  range, body; MapMacro with three arguments: range, filter, body
struct Node {
  enum class Kind : uint8_t {
    Unused,  // read, then replaced by a macro's expansion
    Constant,
    Identifier,
    Local,  // a macro's iteration variable
    Operator,
    Select,
    Has,
    Call,
    List,
    Map,
    All,
    Exists,
    ExistsOne,
    MapMacro,
    Filter,
  };
  Kind kind = Kind::Unused;
  Operator op = Operator::None;
  bool member = false;     // Call: written receiver.name(…)
  bool absolute = false;   // Identifier: written with a leading dot
  bool qualified = false;  // Identifier or Select: nothing but names and dots, a variable may be called so
  uint16_t depth = 1;
  uint32_t offset = 0;   // where messages point
  uint32_t payload = 0;  // Constant: its number; Local and macros: the variable's slot; else: the name
  uint32_t regex = 0;    // Call of matches() with a literal pattern: its number, from 1
  uint32_t first = 0, count = 0;  // children
};

struct ParseLimits {
  size_t bytes = 100'000;  // of text
  size_t depth = 250;      // of nesting; chains of operators do not nest
};

// Immutable once parsed: any number of threads may check and evaluate it at once.
class Expression {
 public:
  Expression();
  Expression(Expression&&) noexcept;
  Expression& operator=(Expression&&) noexcept;
  ~Expression();

  const std::string& text() const { return text_; }

  // The tree, for check() and evaluate(). Children stand before their parents.
  const std::vector<Node>& nodes() const { return nodes_; }
  const Node& node(NodeId id) const { return nodes_[id]; }
  NodeId root() const { return root_; }
  std::span<const NodeId> children(const Node& node) const {
    return std::span(children_).subspan(node.first, node.count);
  }
  const Value& constant(const Node& node) const { return constants_[node.payload]; }
  const std::string& name(const Node& node) const { return names_[node.payload]; }
  const Regex* regex(const Node& node) const { return node.regex ? regexes_[node.regex - 1].get() : nullptr; }
  size_t slots() const { return slots_; }  // how many iteration variables there are

  // "a.b.c" for a node that is `qualified`.
  std::string qualified_name(const Node& node) const;
  Problem problem(std::string message, const Node& node) const;

 private:
  friend class Parser;
  std::string text_;
  std::vector<Node> nodes_;
  std::vector<NodeId> children_;
  std::vector<Value> constants_;
  std::vector<std::string> names_;
  std::vector<std::unique_ptr<Regex>> regexes_;
  size_t slots_ = 0;
  NodeId root_ = 0;
};

// Reads an expression whole. nullopt when it is none: `problems` then says why, at least once. Never throws
// for what the text holds; hostile text costs no more than its length.
std::optional<Expression> parse(std::string_view text, Problems& problems, const ParseLimits& limits = {});

}  // namespace kiln::cel
