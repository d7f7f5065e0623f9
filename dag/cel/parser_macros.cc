// Calls, and the macros among them: langdef, "Macros". A macro is expanded where it is read; its iteration
// variable is bound to a slot, so that evaluation looks up no name.
#include <algorithm>

#include "dag/cel/parser.h"
#include "dag/cel/regex.h"

namespace kiln::cel {
namespace {

using Kind = Node::Kind;

// Of literal patterns, how many are compiled once for good; any beyond are paid for in each evaluation.
constexpr size_t kCompiledPatterns = 16;

Kind macro_kind(std::string_view name, size_t arguments) {
  if (name == "map" && (arguments == 2 || arguments == 3)) return Kind::MapMacro;
  if (arguments != 2) return Kind::Unused;
  if (name == "all") return Kind::All;
  if (name == "exists") return Kind::Exists;
  if (name == "exists_one" || name == "existsOne") return Kind::ExistsOne;
  if (name == "filter") return Kind::Filter;
  return Kind::Unused;
}

}  // namespace

// `children` has the receiver first when `member`. Nodes from `body_begin` on came from the arguments.
NodeId Parser::call(const Token& name, std::vector<NodeId> children, bool member, NodeId body_begin) {
  if (member) {
    const Kind kind = macro_kind(name.text, children.size() - 1);
    if (kind != Kind::Unused) return macro(name, kind, children, body_begin);
  } else if (name.text == "has" && children.size() == 1) {
    return has(name, children.front());
  }
  Node node{.kind = Kind::Call, .offset = name.offset};
  node.member = member;
  node.payload = intern(name.text);
  if (name.text == "matches" && children.size() == 2 && out_.regexes_.size() < kCompiledPatterns) {
    const Node& pattern = out_.nodes_[children[1]];
    if (pattern.kind == Kind::Constant && out_.constant(pattern).is(Value::Kind::String)) {
      out_.regexes_.push_back(std::make_unique<Regex>(out_.constant(pattern).as_string()));
      node.regex = static_cast<uint32_t>(out_.regexes_.size());
    }
  }
  return add(node, children);
}

NodeId Parser::macro(const Token& name, Kind kind, const std::vector<NodeId>& children, NodeId body_begin) {
  Node& variable = out_.nodes_[children[1]];
  if (variable.kind != Kind::Identifier || variable.absolute) {
    fail("argument must be a simple name", variable.offset);
  }
  const std::string variable_name = out_.name(variable);
  if (variable_name == "__result__")
    fail("iteration variable overwrites accumulator variable", variable.offset);
  variable.kind = Kind::Unused;
  const auto slot = static_cast<uint32_t>(out_.slots_++);
  bind(variable_name, slot, body_begin);
  std::vector<NodeId> parts = children;
  parts.erase(parts.begin() + 1);
  return add({.kind = kind, .offset = name.offset, .payload = slot}, parts);
}

// Names in the body that are the variable. Those of macros further inside are bound already, so an inner
// variable of the same name shadows this one.
void Parser::bind(std::string_view variable, uint32_t slot, NodeId begin) {
  for (size_t id = begin; id < out_.nodes_.size(); ++id) {
    Node& node = out_.nodes_[id];
    if (node.kind == Kind::Identifier && !node.absolute && out_.name(node) == variable) {
      node.kind = Kind::Local;
      node.qualified = false;
      node.payload = slot;
    } else if (node.kind == Kind::Select && node.qualified) {
      node.qualified = out_.nodes_[out_.children_[node.first]].qualified;
    }
  }
}

NodeId Parser::has(const Token& name, NodeId argument) {
  Node& selected = out_.nodes_[argument];
  if (selected.kind != Kind::Select) fail("invalid argument to has() macro", selected.offset);
  selected.kind = Kind::Unused;
  const std::vector<NodeId> operand{out_.children_[selected.first]};
  return add({.kind = Kind::Has, .offset = name.offset, .payload = selected.payload}, operand);
}

}  // namespace kiln::cel
