#include <algorithm>

#include "dag/cel/environment.h"
#include "dag/cel/operators.h"
#include "dag/cel/regex.h"

namespace kiln::cel {
namespace {

using Kind = Node::Kind;

// Types flow upwards, and children stand before their parents: one pass over the nodes, no recursion.
class Checker {
 public:
  Checker(const Expression& expression, const Environment& environment, Problems& problems)
      : expression_(expression),
        environment_(environment),
        problems_(problems),
        first_problem_(problems.size()),
        types_(expression.nodes().size()),
        roles_(expression.nodes().size(), Role::Unreached),
        ranges_(expression.slots()) {}

  Type run() {
    find_roles();
    for (NodeId id = 0; id < types_.size(); ++id)
      if (roles_[id] != Role::Unreached) types_[id] = type_of(id);
    Type result = unification_.resolved(types_[expression_.root()], true);
    if (environment_.result && !unification_.assign(result, *environment_.result)) {
      report("expected type '" + environment_.result->text() + "' but found '" + result.text() + "'",
             expression_.node(expression_.root()));
    }
    return result;
  }

 private:
  enum class Role : uint8_t {
    Unreached,  // no part of the expression, or of a qualified name
    Part,
    QualifiedVariable,  // a Select that is a variable's name
    QualifiedFunction,  // a Call whose receiver is a namespace
  };

  // Parents before children: a qualified name swallows the nodes it is made of.
  void find_roles() {
    roles_[expression_.root()] = Role::Part;
    for (NodeId id = static_cast<NodeId>(roles_.size()); id-- > 0;) {
      if (roles_[id] == Role::Unreached) continue;
      const Node& node = expression_.node(id);
      const auto children = expression_.children(node);
      size_t first = 0;
      if (node.kind == Kind::Select && node.qualified &&
          environment_.variables.contains(expression_.qualified_name(node))) {
        roles_[id] = Role::QualifiedVariable;
        continue;
      }
      if (node.kind == Kind::Call && find_qualified_function(expression_, node, *environment_.functions)) {
        roles_[id] = Role::QualifiedFunction;
        first = 1;
      }
      for (const NodeId child : children.subspan(first)) roles_[child] = Role::Part;
      if (node.kind >= Kind::All) ranges_[node.payload] = children[0];
    }
  }

  Type type_of(NodeId id) {
    const Node& node = expression_.node(id);
    if (roles_[id] == Role::QualifiedVariable)
      return environment_.variables.at(expression_.qualified_name(node));
    switch (node.kind) {
      case Kind::Unused:
        return {};
      case Kind::Constant:
        return constant(expression_.constant(node));
      case Kind::Identifier:
        return identifier(node);
      case Kind::Local:
        return item_of_range(node);
      case Kind::Operator:
        return operation(node);
      case Kind::Select:
        return selection(node);
      case Kind::Has:
        (void)selection(node);
        return Type::boolean();
      case Kind::Call:
        return call(id, node);
      case Kind::List:
        return Type::list(joined(node, 0, 1));
      case Kind::Map:
        return unification_.resolved(Type::map(joined(node, 0, 2), joined(node, 1, 2)));
      default:
        return macro(node);
    }
  }

  static Type constant(const Value& value) {
    return value.is(Value::Kind::Type) ? Type::type(Type::of(value.as_type())) : Type::of(value.kind());
  }

  Type identifier(const Node& node) {
    const std::string& name = expression_.name(node);
    const auto declared = environment_.variables.find(name);
    if (declared != environment_.variables.end()) return declared->second;
    if (const auto kind = kind_of_type_name(name)) return Type::type(Type::of(*kind));
    return undeclared(name, node);
  }

  Type undeclared(const std::string& name, const Node& node) {
    report("undeclared reference to '" + name + "' (in container '')", node);
    return Type::error();
  }

  Type item_of_range(const Node& node) {
    const Type range = unification_.resolved(types_[ranges_[node.payload]]);
    if (range.is(Type::Kind::List) || range.is(Type::Kind::Map)) return range.parts()[0];
    return Type::dyn();
  }

  Type selection(const Node& node) {
    const Type operand = unification_.resolved(types_[expression_.children(node)[0]]);
    switch (operand.kind()) {
      case Type::Kind::Map:
        return operand.parts()[1];
      case Type::Kind::Dyn:
      case Type::Kind::Error:
      case Type::Kind::Parameter:
        return Type::dyn();
      default:
        report("type '" + operand.text() + "' does not support field selection", node);
        return Type::error();
    }
  }

  Type operation(const Node& node) {
    if (node.op == Operator::And || node.op == Operator::Or) {
      for (const NodeId child : expression_.children(node)) expect_bool(child);
      return Type::boolean();
    }
    return resolve(operator_name(node.op), *environment_.functions->find(operator_name(node.op)), node,
                   expression_.children(node), false);
  }

  Type call(NodeId id, const Node& node) {
    if (const Regex* regex = expression_.regex(node); regex && !regex->problem().empty()) {
      report("invalid matches argument: " + regex->problem(),
             expression_.node(expression_.children(node)[1]));
    }
    if (roles_[id] == Role::QualifiedFunction) {
      const std::string name = qualified_function_name(expression_, node);
      return resolve(name, *environment_.functions->find(name), node, expression_.children(node).subspan(1),
                     false);
    }
    const std::string& name = expression_.name(node);
    const std::vector<Overload>* overloads = environment_.functions->find(name);
    if (!overloads) return undeclared(name, node);
    return resolve(name, *overloads, node, expression_.children(node), node.member);
  }

  // The result of the overloads that fit; dyn when several do and they differ.
  Type resolve(std::string_view name, const std::vector<Overload>& overloads, const Node& node,
               std::span<const NodeId> arguments, bool member) {
    std::vector<Type> types;
    for (const NodeId argument : arguments) types.push_back(types_[argument]);
    std::optional<Type> result;
    for (const Overload& overload : overloads) {
      if ((overload.style == Overload::Style::Member) != member) continue;
      if (overload.parameters.size() != types.size()) continue;
      std::unordered_map<std::string, Type> fresh;
      std::vector<Type> parameters;
      for (const Type& parameter : overload.parameters)
        parameters.push_back(unification_.instantiated(parameter, fresh));
      const Type returned = unification_.instantiated(overload.result, fresh);
      if (!unification_.assign_all(types, parameters)) continue;
      Type found = unification_.resolved(returned);
      result = !result || *result == found ? std::move(found) : Type::dyn();
    }
    if (result) return *result;
    report("found no matching overload for '" + std::string(name) + "' applied to '" +
               signature(types, member) + "'",
           node);
    return Type::error();
  }

  std::string signature(const std::vector<Type>& types, bool member) const {
    std::string out;
    size_t i = 0;
    if (member) out = unification_.resolved(types[i++], true).text() + ".";
    out += '(';
    for (const size_t first = i; i < types.size(); ++i)
      out += (i > first ? ", " : "") + unification_.resolved(types[i], true).text();
    return out + ')';
  }

  // What all of every `stride`-th child from `start` on are; dyn when they differ.
  Type joined(const Node& node, size_t start, size_t stride) {
    const auto children = expression_.children(node);
    if (children.empty()) return unification_.fresh();
    Type out = types_[children[start]];
    for (size_t i = start + stride; i < children.size(); i += stride) {
      const Type& next = types_[children[i]];
      if (out.is(Type::Kind::Dyn)) return out;
      out = unification_.assign(out, next) ? more_general(out, next) : Type::dyn();
    }
    return out;
  }

  Type macro(const Node& node) {
    const auto children = expression_.children(node);
    const NodeId range = children[0];
    const Type ranged = unification_.resolved(types_[range]);
    switch (ranged.kind()) {
      case Type::Kind::List:
      case Type::Kind::Map:
      case Type::Kind::Dyn:
      case Type::Kind::Error:
      case Type::Kind::Parameter:
        break;
      default:
        report("expression of type '" + ranged.text() +
                   "' cannot be range of a comprehension (must be list, map, or dynamic)",
               expression_.node(range));
    }
    if (node.kind != Kind::MapMacro || children.size() == 3) expect_bool(children[1]);
    if (node.kind == Kind::MapMacro) return Type::list(unification_.resolved(types_[children.back()]));
    if (node.kind == Kind::Filter) return Type::list(item_of_range(node));
    return Type::boolean();
  }

  void expect_bool(NodeId id) {
    if (unification_.assign(types_[id], Type::boolean())) return;
    report("expected type 'bool' but found '" + unification_.resolved(types_[id], true).text() + "'",
           expression_.node(id));
  }

  void report(std::string message, const Node& node) {
    if (problems_.size() < first_problem_ + kMostProblems)
      problems_.push_back(expression_.problem(std::move(message), node));
  }

  const Expression& expression_;
  const Environment& environment_;
  Problems& problems_;
  const size_t first_problem_;
  std::vector<Type> types_;
  std::vector<Role> roles_;
  std::vector<NodeId> ranges_;  // by slot
  Unification unification_;
};

}  // namespace

Type check(const Expression& expression, const Environment& environment, Problems& problems) {
  return Checker(expression, environment, problems).run();
}

}  // namespace kiln::cel
