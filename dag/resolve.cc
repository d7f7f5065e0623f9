#include "dag/resolve.h"

#include <algorithm>
#include <unordered_set>

#include "base/digest.h"
#include "base/error.h"
#include "dag/matrix.h"
#include "dag/params.h"
#include "dag/run_variables.h"
#include "dag/texts.h"

namespace kiln::dag {
namespace {

class NoFacts final : public RunFacts {
 public:
  const ParamValue* result(size_t, std::string_view) const override { return nullptr; }
  std::string_view status(size_t) const override { return {}; }
  std::string_view reason(size_t) const override { return {}; }
  std::string_view aggregate_status() const override { return {}; }
};

// Tekton's words for an index past the end of an array result; "" when there is none.
std::string index_out_of_bounds(const RunVariables& variables, const Param& param) {
  std::string problem;
  for_each_text(param, [&](std::string_view text, Position, ArrayUse) {
    if (!may_have_variables(text)) return;
    for (const Variable& variable : find_variables(text)) {
      const auto& path = variable.reference.path;
      if (path[0] != "tasks" || path.size() != 4 || variable.reference.suffix != Reference::Suffix::Index)
        continue;
      Variables known;
      variables.add_facts(known, text.substr(variable.begin, variable.end - variable.begin));
      const ParamValue* value = known.exact(path);
      if (value != nullptr && value->type == ParamType::Array &&
          variable.reference.index >= value->items.size() && problem.empty())
        problem = "array Result Index " + std::to_string(variable.reference.index) + " for Task " + path[1] +
                  " Result " + path[3] + " is out of bound of size " + std::to_string(value->items.size());
    }
  });
  return problem;
}

Readiness invalid(std::string reason, std::string message) {
  return {Readiness::Kind::Invalid, std::move(reason), std::move(message)};
}

bool is_missing(const RunFacts& facts, const ResultUse& use) {
  return use.result.empty() ? facts.status(use.task).empty() : facts.result(use.task, use.result) == nullptr;
}

}  // namespace

const RunFacts& no_facts() {
  static const NoFacts facts;
  return facts;
}

std::string TaskWorkspace::path() const {
  if (!bound) return {};
  return declaration.mount_path.empty() ? "/workspace/" + declaration.name.value
                                        : declaration.mount_path.value;
}

Readiness check_ready(const Plan& plan, size_t index, const RunFacts& facts, const RunContext& context) {
  const PlannedTask& task = plan.tasks[index];
  const bool missing =
      std::ranges::any_of(task.uses, [&](const ResultUse& use) { return is_missing(facts, use); });
  if (task.when.empty() && !missing && task.uses.empty() && !task.matrix) return {};
  const RunVariables variables(plan, index, facts, context);
  std::vector<When> known;
  for (When when : task.when) {
    Variables values = variables.contexts();
    for_each_text(when,
                  [&](std::string_view text, Position, ArrayUse) { variables.add_facts(values, text); });
    substitute_when(when, values);
    // Without its result an expression says nothing; that the result is missing does.
    const bool open = when.input.value.find("$(tasks.") != std::string::npos ||
                      when.cel.value.find("$(tasks.") != std::string::npos;
    if (!missing || !open) known.push_back(std::move(when));
  }
  const WhenVerdict verdict = evaluate_when(known);
  if (!verdict.problem.empty()) return invalid("CELEvaluationFailed", verdict.problem);
  if (!verdict.holds) return {Readiness::Kind::WhenFalse, "", ""};
  if (missing) return {Readiness::Kind::MissingResults, "", ""};
  for (const Param& param : task.params)
    if (std::string problem = index_out_of_bounds(variables, param); !problem.empty())
      return invalid("InvalidTaskResultReference", std::move(problem));
  if (task.matrix) {
    try {
      if (resolve_matrix(plan, index, facts, context).empty()) return {Readiness::Kind::EmptyMatrix, "", ""};
    } catch (const Error& error) {
      return invalid("InvalidMatrixParameterTypes", error.message());
    }
  }
  return {};
}

namespace {

// The matrix with its values put in.
Matrix known_matrix(const Plan& plan, size_t index, const RunFacts& facts, const RunContext& context) {
  const PlannedTask& task = plan.tasks[index];
  const RunVariables variables(plan, index, facts, context);
  Matrix matrix = *task.matrix;
  const auto put_in = [&](Param& param) {
    param.value = substitute_value(param.value, variables.facts_of(param));
  };
  for (Param& param : matrix.params) {
    put_in(param);
    if (param.value.type != ParamType::Array)
      throw Error(ErrorKind::Invalid, "parameters of type array only are allowed, but param \"" +
                                          param.name.value + "\" has type \"" +
                                          std::string(to_string(param.value.type)) + "\" in pipelineTask \"" +
                                          task.name + "\"");
  }
  for (MatrixInclude& include : matrix.include)
    for (Param& param : include.params) put_in(param);
  return matrix;
}

}  // namespace

std::vector<std::vector<Param>> resolve_matrix(const Plan& plan, size_t index, const RunFacts& facts,
                                               const RunContext& context) {
  if (!plan.tasks[index].matrix) return {};
  const Matrix matrix = known_matrix(plan, index, facts, context);
  if (const auto count = count_combinations(matrix); count && *count > kMostCombinations)
    throw Error(ErrorKind::Invalid, "expected 0 <= " + std::to_string(*count) +
                                        " <= " + std::to_string(kMostCombinations) + ": matrix of \"" +
                                        plan.tasks[index].name + "\"");
  return combinations(matrix);
}

std::vector<Param> resolve_combination(const Plan& plan, size_t index, const RunFacts& facts,
                                       const RunContext& context, size_t in_matrix) {
  if (!plan.tasks[index].matrix) return {};
  return combination_at(known_matrix(plan, index, facts, context), in_matrix);
}

RunRequest nested_request(const Plan& plan, size_t index, const RunFacts& facts, const RunContext& context,
                          TaskRunIndex which) {
  const PlannedTask& task = plan.tasks[index];
  RunRequest request = plan.request;
  request.params.clear();
  request.workspaces.clear();
  request.within.push_back({task.name, plan.params});
  request.values = resolve_task(plan, index, facts, context, which).params;
  if (task.inline_spec) {  // what propagates: weaker than what is passed
    std::unordered_set<std::string> passed;
    for (const Param& param : request.values) passed.insert(param.name.value);
    for (const Param& param : plan.params)
      if (!passed.contains(param.name.value)) request.values.push_back(param);
  }
  for (const TaskWorkspace& workspace : task.workspaces) {
    if (!workspace.bound) continue;
    request.workspaces.push_back(workspace.binding);
    request.workspaces.back().name = workspace.declaration.name;
  }
  return request;
}

std::vector<std::pair<std::string, ParamValue>> resolve_results(const Plan& plan, const RunFacts& facts,
                                                                const RunContext& context) {
  std::vector<std::pair<std::string, ParamValue>> out;
  if (plan.results.empty()) return out;
  Variables params;
  set_params(params, plan.params);
  const RunVariables run(plan, 0, facts, context);
  for (const ResultSpec& result : plan.results) {
    if (!result.value) continue;
    Variables variables = run.contexts();
    bool complete = true;
    for_each_text(*result.value, {}, [&](std::string_view text, Position, ArrayUse) {
      run.add_facts(variables, text);
      for (const Variable& variable : find_variables(text))
        if (const std::string& root = variable.reference.path[0]; root == "tasks" || root == "finally")
          complete &= variables.find(variable.reference).has_value();
    });
    if (complete)
      out.emplace_back(result.name, substitute_value(substitute_value(*result.value, params), variables));
  }
  return out;
}

std::string child_name(const Plan& plan, size_t task, std::string_view run_name,
                       std::optional<size_t> in_matrix) {
  if (plan.kind != Plan::Kind::Pipeline) return std::string(run_name);
  constexpr size_t kLongest = 63;
  std::string name = std::string(run_name) + "-" + plan.tasks[task].name;
  if (in_matrix) name += "-" + std::to_string(*in_matrix);
  if (name.size() <= kLongest) return name;
  const std::string hash = std::string(sha256(name).encoded().substr(0, 32));
  std::string kept = name.substr(0, kLongest - hash.size() - 1);
  while (kept.ends_with('-') || kept.ends_with('.')) kept.pop_back();
  return kept + "-" + hash;
}

std::optional<ParamValue> parse_result(ParamType type, std::string_view bytes) {
  if (type == ParamType::String) return ParamValue::string(std::string(bytes));
  return value_from_json(type, bytes);
}

}  // namespace kiln::dag
