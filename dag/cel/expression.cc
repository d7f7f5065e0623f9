#include "dag/cel/expression.h"

#include <algorithm>

#include "dag/cel/regex.h"

namespace kiln::cel {

Expression::Expression() = default;
Expression::Expression(Expression&&) noexcept = default;
Expression& Expression::operator=(Expression&&) noexcept = default;
Expression::~Expression() = default;

Position position_of(std::string_view text, size_t offset) {
  const std::string_view before = text.substr(0, offset);
  const size_t line_start = before.rfind('\n') + 1;  // npos + 1 is 0
  return {static_cast<int>(std::count(before.begin(), before.end(), '\n')) + 1,
          static_cast<int>(before.size() - line_start) + 1};
}

std::string_view operator_name(Operator op) {
  switch (op) {
    case Operator::None:
      return "";
    case Operator::Conditional:
      return "_?_:_";
    case Operator::Or:
      return "_||_";
    case Operator::And:
      return "_&&_";
    case Operator::Less:
      return "_<_";
    case Operator::LessEquals:
      return "_<=_";
    case Operator::Greater:
      return "_>_";
    case Operator::GreaterEquals:
      return "_>=_";
    case Operator::Equals:
      return "_==_";
    case Operator::NotEquals:
      return "_!=_";
    case Operator::In:
      return "@in";
    case Operator::Add:
      return "_+_";
    case Operator::Subtract:
      return "_-_";
    case Operator::Multiply:
      return "_*_";
    case Operator::Divide:
      return "_/_";
    case Operator::Modulo:
      return "_%_";
    case Operator::Negate:
      return "-_";
    case Operator::Not:
      return "!_";
    case Operator::Index:
      return "_[_]";
  }
  return "";
}

std::string Expression::qualified_name(const Node& node) const {
  std::vector<const Node*> path{&node};
  while (path.back()->kind == Node::Kind::Select) path.push_back(&nodes_[children(*path.back())[0]]);
  std::string out;
  for (size_t i = path.size(); i-- > 0;) {
    out += name(*path[i]);
    if (i > 0) out += '.';
  }
  return out;
}

Problem Expression::problem(std::string message, const Node& node) const {
  return {std::move(message), node.offset, position_of(text_, node.offset)};
}

}  // namespace kiln::cel
