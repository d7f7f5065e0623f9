#include <algorithm>

#include "dag/cel/environment.h"
#include "dag/cel/evaluate.h"
#include "dag/cel/expression.h"
#include "dag/check_task.h"
#include "dag/resolve.h"

namespace kiln::dag {
namespace {

WhenVerdict evaluate_cel(const std::string& text) {
  const std::string failed = "CEL expression \"" + text + "\" could not be evaluated: ";
  cel::Problems problems;
  const std::optional<cel::Expression> expression = cel::parse(text, problems);
  if (!expression) return {false, failed + problems.front().message};
  const cel::Outcome outcome = cel::evaluate(*expression, cel::Variables());
  if (!outcome.ok()) return {false, failed + outcome.error().message};
  if (!outcome.value().is(cel::Value::Kind::Bool)) return {false, failed + "its value is no boolean"};
  return {outcome.value().as_bool(), ""};
}

// Where a place inside an expression stands in the file. A text that YAML has unescaped or folded is only
// known as a whole.
Position place_of(const Text& cel, Position inside, const Reporter& reporter) {
  const std::string_view first_line = std::string_view(cel.value).substr(0, cel.value.find('\n'));
  const Position start = reporter.find(cel.at, first_line);
  if (start == cel.at && !cel.value.empty() && inside == Position{1, 1}) return start;
  return {start.line + inside.line - 1, start.column + inside.column - 1};
}

// Tekton puts variables in as text: to CEL they are string literals, never names.
std::string cel_hint(const std::string& cel, const std::string& message) {
  for (const char* root : {"params", "tasks", "context", "workspaces"})
    if (message.find("undeclared reference to '" + std::string(root) + "'") != std::string::npos)
      return "variables are put in as text: '$(" + std::string(root) + ".…)', in quotes";
  if (may_have_variables(cel) && cel.find("'$(") == std::string::npos &&
      cel.find("\"$(") == std::string::npos)
    return "variables stand inside quotes: '$(params.x)' == 'a'";
  return "";
}

}  // namespace

WhenVerdict evaluate_when(const std::vector<When>& whens) {
  for (const When& when : whens) {
    if (!when.cel.empty()) {
      WhenVerdict verdict = evaluate_cel(when.cel);
      if (!verdict.holds) return verdict;
      continue;
    }
    const bool in =
        std::ranges::any_of(when.values, [&](const Text& value) { return value.value == when.input.value; });
    if (in != (when.op.value == "in")) return {false, ""};
  }
  return {};
}

// Variables are put in as text, so they have to stand inside string literals: the expression is one before
// they are put in too.
void check_cel(const When& when, Reporter& reporter) {
  if (when.cel.empty()) return;
  cel::Problems problems;
  if (const std::optional<cel::Expression> expression = cel::parse(when.cel.value, problems))
    cel::check(*expression, {.result = cel::Type::boolean()}, problems);
  for (const cel::Problem& problem : problems)
    reporter.error(place_of(when.cel, problem.at, reporter), "invalid cel expression: " + problem.message,
                   cel_hint(when.cel.value, problem.message));
}

}  // namespace kiln::dag
