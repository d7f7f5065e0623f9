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

// Tekton's words for an index past the end of an array result, which a task's params, matrix or `when` ask
// for; "" when there is none.
std::string index_out_of_bounds(const RunVariables& variables, const PlannedTask& task) {
  std::string problem;
  const auto look = [&](std::string_view text, Position, ArrayUse) {
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
  };
  for (const Param& param : task.params) for_each_text(param, look);
  if (task.matrix) for_each_text(*task.matrix, look);
  for (const When& when : task.when) for_each_text(when, look);
  return problem;
}

Readiness invalid(const char* reason, std::string message) {
  return {Readiness::Kind::Invalid, reason, std::move(message), {}};
}

bool is_missing(const RunFacts& facts, const ResultUse& use) {
  return use.result.empty() ? facts.status(use.task).empty() : facts.result(use.task, use.result) == nullptr;
}

std::vector<When> put_into_when(std::vector<When> whens, const RunVariables& variables) {
  for (When& when : whens) {
    Variables values = variables.contexts();
    for_each_text(when,
                  [&](std::string_view text, Position, ArrayUse) { variables.add_facts(values, text); });
    substitute_when(when, values);
  }
  return whens;
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
  std::vector<ResultUse> missing;
  for (const ResultUse& use : task.uses)
    if (is_missing(facts, use)) missing.push_back(use);
  if (task.when.empty() && missing.empty() && task.uses.empty() && !task.matrix) return {};
  const RunVariables variables(plan, index, facts, context);
  if (missing.empty())  // before `when`: such a run fails whatever that says
    if (std::string problem = index_out_of_bounds(variables, task); !problem.empty())
      return invalid("PipelineValidationFailed",
                     "PipelineRun " + context.run_namespace + "/" + context.run_name +
                         " can't be Run; couldn't resolve all references: " + problem);
  std::vector<When> known;
  for (When& when : put_into_when(task.when, variables)) {
    // Without its result an expression says nothing; that the result is missing does.
    const bool open = when.input.value.find("$(tasks.") != std::string::npos ||
                      when.cel.value.find("$(tasks.") != std::string::npos;
    if (missing.empty() || !open) known.push_back(std::move(when));
  }
  const WhenVerdict verdict = evaluate_when(known);
  if (!verdict.problem.empty())
    return invalid("CELEvaluationFailed",
                   "Error evaluating CEL " + context.run_name + ": " + verdict.problem);
  if (!verdict.holds) return {.kind = Readiness::Kind::WhenFalse};
  if (!missing.empty()) return {.kind = Readiness::Kind::MissingResults, .missing = std::move(missing)};
  if (task.matrix) {
    try {
      if (resolve_matrix(plan, index, facts, context).empty()) return {.kind = Readiness::Kind::EmptyMatrix};
    } catch (const Error& error) {
      return invalid("InvalidMatrixParameterTypes",
                     "Failed to validate matrix \"" + context.run_name + "\" with error " + error.message());
    }
  }
  return {};
}

std::vector<When> resolve_when(const Plan& plan, size_t task, const RunFacts& facts,
                               const RunContext& context) {
  return put_into_when(plan.tasks[task].when, RunVariables(plan, task, facts, context));
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

namespace {

constexpr size_t kLongestName = 63;

// Parent and suffix, cut and hashed where that would be too long for a Kubernetes name.
std::string limited_name(std::string_view parent, std::string_view suffix) {
  if (parent.size() + suffix.size() <= kLongestName) return std::string(parent) + std::string(suffix);
  constexpr size_t kHead = kLongestName - 32;  // before the hash
  if (suffix.size() < kHead)
    return std::string(parent.substr(0, kHead - suffix.size())) + md5(parent) + std::string(suffix);
  std::string name = std::string(parent.substr(0, kHead)) + md5(std::string(parent) + std::string(suffix));
  name += suffix.substr(0, kLongestName - name.size());
  while (name.ends_with('-') || name.ends_with('.')) name.pop_back();
  return name;
}

}  // namespace

std::string child_name(const Plan& plan, size_t task, std::string_view run_name, TaskRunIndex which) {
  if (plan.kind != Plan::Kind::Pipeline) return std::string(run_name);
  const std::string suffix = "-" + plan.tasks[task].name;
  if (!which.in_matrix || which.combinations == 1) return limited_name(run_name, suffix);
  const std::string number = "-" + std::to_string(*which.in_matrix);
  std::string name = limited_name(run_name, suffix + number);
  if (name.ends_with(number)) return name;
  const size_t longest = kLongestName - 1 - std::to_string(which.combinations).size();
  return limited_name(run_name, suffix).substr(0, longest) + number;
}

std::string step_name(const Step& step, size_t index) {
  return step.name.empty() ? "unnamed-" + std::to_string(index) : step.name.value;
}

std::string pod_name(std::string_view task_run, int attempt) {
  return limited_name(task_run, attempt > 0 ? "-pod-retry" + std::to_string(attempt) : "-pod");
}

std::string child_uid(const Plan& plan, std::string_view run_uid, std::string_view name) {
  if (plan.kind != Plan::Kind::Pipeline) return std::string(run_uid);
  std::string uid(sha256(std::string(run_uid) + "/" + std::string(name)).encoded().substr(0, 32));
  for (const size_t at : {20, 16, 12, 8}) uid.insert(at, "-");
  return uid;
}

}  // namespace kiln::dag
