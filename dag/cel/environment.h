#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "dag/cel/expression.h"
#include "dag/cel/function.h"
#include "dag/cel/type.h"

namespace kiln::cel {

// What an expression may use, and what it must be.
struct Environment {
  const Functions* functions = &Functions::standard();
  std::unordered_map<std::string, Type> variables;  // names may be qualified: "tasks.build.status"
  std::optional<Type> result;                       // bool for `when.cel`
};

// Finds, without evaluating, the names that nobody declared, the functions that do not fit their arguments
// and the patterns of matches() that are none; all of them at once. Returns the type of the result, dyn where
// it is only known when evaluated. Messages are worded as users of CEL know them.
Type check(const Expression& expression, const Environment& environment, Problems& problems);

}  // namespace kiln::cel
