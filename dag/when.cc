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
Position start_of(const Text& cel, const Reporter& reporter) {
  return reporter.find_text(cel.at, std::string_view(cel.value).substr(0, cel.value.find('\n')));
}

Position place_of(const Text& cel, Position start, Position inside) {
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
  if (problems.empty()) return;
  const Position start = start_of(when.cel, reporter);
  for (const cel::Problem& problem : problems)
    reporter.error(place_of(when.cel, start, problem.at), "invalid cel expression: " + problem.message,
                   cel_hint(when.cel.value, problem.message));
}

}  // namespace kiln::dag
