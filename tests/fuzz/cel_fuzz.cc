// Any text as an expression: parsed, checked and evaluated within a small budget. Whatever it is, problems
// point inside it, and evaluating it twice ends the same way.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string_view>

#include "dag/cel/environment.h"
#include "dag/cel/evaluate.h"
#include "dag/cel/json.h"

namespace {

using namespace kiln::cel;

void check_places(const Problems& problems, std::string_view text) {
  for (const Problem& problem : problems) {
    if (problem.message.empty() || problem.offset > text.size()) std::abort();
    if (problem.at != position_of(text, problem.offset)) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Variables variables{
      {"s", Value::string("h\u00e9llo")},
      {"body",
       from_json(nlohmann::json::parse(R"({"ref": "refs/heads/main", "n": [1, 2.5, null], "o": {}})"))},
      {"a.b", Value::integer(7)}};
  static const Environment environment = [] {
    Environment out;
    out.variables = {{"s", Type::string()}, {"body", Type::dyn()}, {"a.b", Type::integer()}};
    out.result = Type::boolean();
    return out;
  }();
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  Problems problems;
  const std::optional<Expression> expression = parse(text, problems);
  if (expression.has_value() != problems.empty()) std::abort();
  check_places(problems, text);
  if (!expression) return 0;
  (void)check(*expression, environment, problems);
  check_places(problems, text);
  EvaluateOptions options;
  options.steps = 20'000;
  const Outcome first = evaluate(*expression, variables, options);
  const Outcome second = evaluate(*expression, variables, options);
  if (first.ok() != second.ok()) std::abort();
  if (!first.ok()) {
    check_places({first.error()}, text);
    if (first.error() != second.error()) std::abort();
  }
  return 0;
}
