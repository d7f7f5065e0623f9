#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dag/cel/expression.h"
#include "dag/cel/function.h"

// What check() and evaluate() share.
namespace kiln::cel {

// A binary operator from Less to Modulo, or Index.
Value apply(Context& context, Operator op, const Value& a, const Value& b);
// Negate or Not.
Value apply(Context& context, Operator op, const Value& operand);

// The kind whose type an expression calls so ("int").
std::optional<Value::Kind> kind_of_type_name(std::string_view name);

// A call a.b.c(…) of a function that is itself called "a.b.c"; nullptr when there is no such function.
const std::vector<Overload>* find_qualified_function(const Expression& expression, const Node& call,
                                                     const Functions& functions);
std::string qualified_function_name(const Expression& expression, const Node& call);

}  // namespace kiln::cel
