#include "dag/cel/evaluate.h"

#include <algorithm>

#include "dag/cel/operators.h"

namespace kiln::cel {
namespace {

using Kind = Node::Kind;

constexpr size_t kDeepest = 1000;  // of lists and maps in each other

// Walks the tree. An error is in the context as soon as it happens; what is returned then is not looked at.
class Evaluator {
 public:
  Evaluator(const Expression& expression, const Activation& activation, const EvaluateOptions& options)
      : expression_(expression),
        activation_(activation),
        functions_(*options.functions),
        context_(options.steps, *options.zones),
        qualified_(activation.has_qualified_names()),
        slots_(expression.slots()) {}

  Outcome run() {
    Value value = eval(expression_.root());
    if (!context_.failed()) return value;
    return expression_.problem(context_.message(), expression_.node(failed_at_));
  }

 private:
  Value eval(NodeId id) {
    const Node& node = expression_.node(id);
    if (!context_.charge(1)) return at(id, {});
    switch (node.kind) {
      case Kind::Unused:
        return {};
      case Kind::Constant:
        return expression_.constant(node);
      case Kind::Identifier:
        return at(id, identifier(node));
      case Kind::Local:
        return slots_[node.payload];
      case Kind::Operator:
        return operation(id, node);
      case Kind::Select:
        return select(id, node);
      case Kind::Has:
        return has(id, node);
      case Kind::Call:
        return call(id, node);
      case Kind::List:
        return not_too_deep(id, list(node));
      case Kind::Map:
        return not_too_deep(id, map(id, node));
      default:
        return not_too_deep(id, macro(id, node));
    }
  }

  // Remembers where an error came up, when one did.
  Value at(NodeId id, Value value) {
    if (context_.failed() && !located_) {
      failed_at_ = id;
      located_ = true;
    }
    return value;
  }
  // The body of a macro wraps what went through the ones before it, so nesting is more than the text shows.
  Value not_too_deep(NodeId id, Value value) {
    if (value.depth() > kDeepest)
      return fail(id, "value is nested more than " + std::to_string(kDeepest) + " levels deep");
    return value;
  }
  Value fail(NodeId id, std::string message) { return at(id, context_.fail(std::move(message))); }

  NodeId child(const Node& node, size_t index) const { return expression_.children(node)[index]; }

  Value identifier(const Node& node) {
    const std::string& name = expression_.name(node);
    if (std::optional<Value> found = activation_.find(name)) return std::move(*found);
    if (const auto kind = kind_of_type_name(name)) return Value::type(*kind);
    return context_.fail("no such attribute: " + name);
  }

  Value operation(NodeId id, const Node& node) {
    switch (node.op) {
      case Operator::And:
      case Operator::Or:
        return logic(node, node.op == Operator::Or);
      case Operator::Conditional:
        return conditional(id, node);
      case Operator::Not:
      case Operator::Negate: {
        const Value operand = eval(child(node, 0));
        return context_.failed() ? Value() : at(id, apply(context_, node.op, operand));
      }
      case Operator::Index: {
        const Value operand = eval(child(node, 0));
        if (context_.failed()) return {};
        const Value index = eval(child(node, 1));
        return context_.failed() ? Value() : at(id, apply(context_, node.op, operand, index));
      }
      default:
        return binary_chain(id);
    }
  }

  // a + b + c … leans to the left and may be longer than the stack is deep: down in a loop, and up again.
  Value binary_chain(NodeId id) {
    const auto is_binary = [this](NodeId candidate) {
      const Node& node = expression_.node(candidate);
      return node.kind == Kind::Operator && node.op >= Operator::Less && node.op <= Operator::Modulo;
    };
    NodeId leftmost = child(expression_.node(id), 0);
    if (!is_binary(leftmost)) return binary(id, eval(leftmost));
    std::vector<NodeId> chain{id};
    for (; is_binary(leftmost); leftmost = child(expression_.node(leftmost), 0)) chain.push_back(leftmost);
    Value left = eval(leftmost);
    for (; !chain.empty() && !context_.failed(); chain.pop_back()) {
      if (!context_.charge(1)) return at(chain.back(), {});
      left = binary(chain.back(), left);
    }
    return left;
  }

  Value binary(NodeId id, const Value& left) {
    if (context_.failed()) return {};
    const Node& node = expression_.node(id);
    const Value right = eval(child(node, 1));
    if (context_.failed()) return {};
    return at(id, apply(context_, node.op, left, right));
  }

  // One operand that decides is enough, whatever errors the others are (langdef, "Logical Operators").
  Value logic(const Node& node, bool decisive) {
    Absorbed absorbed;
    for (const NodeId operand : expression_.children(node))
      if (decides(operand, decisive, absorbed)) return Value::boolean(decisive);
    return settle(absorbed, !decisive);
  }

  // The first error of several, kept until it is known whether it matters.
  struct Absorbed {
    bool any = false;
    NodeId where = 0;
    std::string message;
  };

  bool decides(NodeId operand, bool decisive, Absorbed& absorbed) {
    const Value value = eval(operand);
    if (!context_.failed()) {
      if (value.is(Value::Kind::Bool)) return value.as_bool() == decisive;
      (void)at(operand, context_.no_overload(decisive ? "_||_" : "_&&_", std::span(&value, 1)));
    }
    if (context_.exhausted()) return false;
    if (!absorbed.any) absorbed = {true, failed_at_, context_.message()};
    context_.absorb();
    located_ = false;
    return false;
  }

  Value settle(const Absorbed& absorbed, bool otherwise) {
    if (context_.exhausted()) return {};
    if (absorbed.any) return fail(absorbed.where, absorbed.message);
    return Value::boolean(otherwise);
  }

  Value conditional(NodeId id, const Node& node) {
    const Value condition = eval(child(node, 0));
    if (context_.failed()) return {};
    if (!condition.is(Value::Kind::Bool))
      return at(id, context_.no_overload(operator_name(node.op), std::span(&condition, 1)));
    return eval(child(node, condition.as_bool() ? 1 : 2));
  }

  Value select(NodeId id, const Node& node) {
    if (qualified_ && node.qualified)
      if (std::optional<Value> found = activation_.find(expression_.qualified_name(node)))
        return std::move(*found);
    const Value operand = eval(child(node, 0));
    if (context_.failed()) return {};
    const std::string& field = expression_.name(node);
    if (!context_.charge_bytes(field.size())) return at(id, {});
    if (!operand.is(Value::Kind::Map))
      return fail(id,
                  "type '" + std::string(type_name(operand.kind())) + "' does not support field selection");
    if (const Value* found = operand.as_map().find(field)) return *found;
    return fail(id, "no such key: " + field);
  }

  Value has(NodeId id, const Node& node) {
    const Value operand = eval(child(node, 0));
    if (context_.failed()) return {};
    if (!operand.is(Value::Kind::Map))
      return fail(id,
                  "type '" + std::string(type_name(operand.kind())) + "' does not support field selection");
    if (!context_.charge_bytes(expression_.name(node).size())) return at(id, {});
    return Value::boolean(operand.as_map().find(expression_.name(node)) != nullptr);
  }

  Value call(NodeId id, const Node& node) {
    const std::vector<Overload>* overloads = find_qualified_function(expression_, node, functions_);
    const bool member = node.member && !overloads;
    const auto children = expression_.children(node).subspan(node.member && !member ? 1 : 0);
    if (!overloads) overloads = functions_.find(expression_.name(node));
    if (!overloads) return fail(id, "no such function: " + expression_.name(node));
    constexpr size_t kFew = 4;
    if (children.size() <= kFew) {
      Value arguments[kFew];
      return invoke(id, node, *overloads, member, children, std::span(arguments, children.size()));
    }
    Value::List arguments(children.size());
    return invoke(id, node, *overloads, member, children, arguments);
  }

  Value invoke(NodeId id, const Node& node, const std::vector<Overload>& overloads, bool member,
               std::span<const NodeId> children, std::span<Value> arguments) {
    for (size_t i = 0; i < children.size(); ++i) {
      arguments[i] = eval(children[i]);
      if (context_.failed()) return {};
    }
    if (const Regex* regex = expression_.regex(node)) context_.offer(*regex);
    for (const Overload& overload : overloads)
      if (fits(overload, member, arguments)) return at(id, overload.implementation(context_, arguments));
    return at(id, context_.no_overload(expression_.name(node), arguments));
  }

  static bool fits(const Overload& overload, bool member, std::span<const Value> arguments) {
    if ((overload.style == Overload::Style::Member) != member || !overload.implementation) return false;
    return std::equal(arguments.begin(), arguments.end(), overload.parameters.begin(),
                      overload.parameters.end(),
                      [](const Value& value, const Type& type) { return type.takes(value.kind()); });
  }

  Value list(const Node& node) {
    Value::List items;
    items.reserve(node.count);
    for (const NodeId item : expression_.children(node)) {
      items.push_back(eval(item));
      if (context_.failed()) return {};
    }
    return Value::list(std::move(items));
  }

  Value map(NodeId id, const Node& node) {
    const auto children = expression_.children(node);
    std::vector<Map::Entry> entries;
    entries.reserve(children.size() / 2);
    for (size_t i = 0; i < children.size(); i += 2) {
      Value key = eval(children[i]);
      if (context_.failed()) return {};
      if (!Map::is_key(key))
        return fail(children[i], "unsupported key type: " + std::string(type_name(key.kind())));
      Value value = eval(children[i + 1]);
      if (context_.failed() || !context_.charge_key(key)) return at(id, {});
      entries.emplace_back(std::move(key), std::move(value));
    }
    Map out(std::move(entries));
    if (const Value* repeated = out.repeated_key())
      return fail(id, "insert failed: key " + shown_key(*repeated) + " already exists");
    return Value::map(std::move(out));
  }

  static std::string shown_key(const Value& key) {
    switch (key.kind()) {
      case Value::Kind::String:
        return key.as_string();
      case Value::Kind::Bool:
        return key.as_bool() ? "true" : "false";
      case Value::Kind::Int:
        return std::to_string(key.as_int());
      default:
        return std::to_string(key.as_uint());
    }
  }

  Value macro(NodeId id, const Node& node) {
    const Value range = eval(child(node, 0));
    if (context_.failed()) return {};
    if (range.is(Value::Kind::List))
      return over(node, range.as_list(), [](const Value& item) -> const Value& { return item; });
    if (range.is(Value::Kind::Map))
      return over(node, range.as_map().entries(),
                  [](const Map::Entry& e) -> const Value& { return e.first; });
    return fail(id, "expression of type '" + std::string(type_name(range.kind())) +
                        "' cannot be range of a comprehension (must be list, map, or dynamic)");
  }

  template <class Range, class Item>
  Value over(const Node& node, const Range& range, Item item) {
    switch (node.kind) {
      case Kind::All:
      case Kind::Exists:
        return quantifier(node, range, item, node.kind == Kind::Exists);
      case Kind::ExistsOne:
        return exists_one(node, range, item);
      default:
        return transformed(node, range, item);
    }
  }

  template <class Range, class Item>
  Value quantifier(const Node& node, const Range& range, Item item, bool decisive) {
    Absorbed absorbed;
    for (const auto& entry : range) {
      slots_[node.payload] = item(entry);
      if (decides(child(node, 1), decisive, absorbed)) return Value::boolean(decisive);
      if (context_.exhausted()) return {};
    }
    return settle(absorbed, !decisive);
  }

  template <class Range, class Item>
  Value exists_one(const Node& node, const Range& range, Item item) {
    size_t count = 0;
    for (const auto& entry : range) {
      slots_[node.payload] = item(entry);
      const std::optional<bool> found = predicate(child(node, 1));
      if (!found) return {};
      count += *found ? 1 : 0;
    }
    return Value::boolean(count == 1);
  }

  // map and filter
  template <class Range, class Item>
  Value transformed(const Node& node, const Range& range, Item item) {
    Value::List out;
    const bool filtered = node.kind == Kind::Filter || node.count == 3;
    for (const auto& entry : range) {
      slots_[node.payload] = item(entry);
      if (filtered) {
        const std::optional<bool> wanted = predicate(child(node, 1));
        if (!wanted) return {};
        if (!*wanted) continue;
      }
      out.push_back(node.kind == Kind::Filter ? item(entry) : eval(child(node, node.count - 1)));
      if (context_.failed()) return {};
    }
    return Value::list(std::move(out));
  }

  // nullopt after an error.
  std::optional<bool> predicate(NodeId id) {
    const Value value = eval(id);
    if (context_.failed()) return std::nullopt;
    if (value.is(Value::Kind::Bool)) return value.as_bool();
    (void)at(id, context_.no_overload("_?_:_", std::span(&value, 1)));
    return std::nullopt;
  }

  const Expression& expression_;
  const Activation& activation_;
  const Functions& functions_;
  Context context_;
  const bool qualified_;
  std::vector<Value> slots_;
  NodeId failed_at_ = 0;
  bool located_ = false;
};

}  // namespace

Outcome evaluate(const Expression& expression, const Activation& activation, const EvaluateOptions& options) {
  return Evaluator(expression, activation, options).run();
}

}  // namespace kiln::cel
