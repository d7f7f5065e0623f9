#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dag/param_problems.h"
#include "dag/plan.h"

// From Plan to what really runs: the substitution that had to wait for results, statuses and names.
namespace kiln::dag {

// The names `$(context.…)` can ask for.
struct RunContext {
  std::string run_name;
  std::string run_uid;
  std::string run_namespace = "default";
};

// What is known of a run so far. Implemented by whoever keeps its state.
class RunFacts {
 public:
  virtual ~RunFacts() = default;
  virtual const ParamValue* result(size_t task, std::string_view name) const = 0;  // nullptr: not produced
  // What stands for a result that the task did not leave (annotation::kResultDefault); nullptr: nothing.
  virtual const ParamValue* result_default(size_t, std::string_view) const { return nullptr; }
  virtual std::string_view status(size_t task) const = 0;  // Succeeded, Failed, None
  virtual std::string_view reason(size_t task) const = 0;  // as in the TaskRun's condition; "" when not run
  virtual std::string_view aggregate_status() const = 0;   // of the DAG: Succeeded, Failed, Completed, None
  // TaskRuns that a matrix became; nullopt before it has. A result of a matrix is an array, one item for each
  // TaskRun that produced it.
  virtual std::optional<size_t> matrix_length(size_t) const { return std::nullopt; }
  // "outputs" or "inputs" of a task by name: the artifact's values as JSON.
  virtual std::optional<std::string> artifact(size_t, std::string_view, std::string_view) const {
    return std::nullopt;
  }
};

// Nothing has run: for previews.
const RunFacts& no_facts();

struct Readiness {
  enum class Kind { Ready, WhenFalse, MissingResults, EmptyMatrix, Invalid };
  Kind kind = Kind::Ready;
  // Invalid: what Tekton makes of the whole run, which ends there without a TaskRun and without `finally`:
  // the reason and message of its condition.
  std::string reason = {}, message = {};
  std::vector<ResultUse> missing = {};  // MissingResults: which, at least one
};

// Whether a task whose parents are done should run. Cheap: only `when` and consumed results are looked at.
Readiness check_ready(const Plan& plan, size_t task, const RunFacts& facts, const RunContext& context);

// A task with everything substituted that the facts allow; step values merged with stepTemplate, names given
// to unnamed steps ("unnamed-N").
struct ResolvedTask {
  std::string display_name;
  TaskSpec spec;
  std::vector<Param> params;
  std::vector<TaskWorkspace> workspaces;
  ParamProblem problem;  // why it cannot run with what it is given
};

// Which of a task's TaskRuns.
struct TaskRunIndex {
  int attempt = 0;                       // from 0: `$(context.task.retry-count)`
  std::optional<size_t> in_matrix = {};  // index into resolve_matrix()
  size_t combinations = 0;               // size of resolve_matrix()
};

ResolvedTask resolve_task(const Plan& plan, size_t task, const RunFacts& facts, const RunContext& context,
                          TaskRunIndex which = {});

// The params of each TaskRun of a task with a matrix: see combinations(). Throws Invalid, in Tekton's words,
// when a result turns out not to be an array, or there are too many.
std::vector<std::vector<Param>> resolve_matrix(const Plan& plan, size_t task, const RunFacts& facts,
                                               const RunContext& context);

// resolve_matrix()[in_matrix], empty past the end, at the cost of that one.
std::vector<Param> resolve_combination(const Plan& plan, size_t task, const RunFacts& facts,
                                       const RunContext& context, size_t in_matrix);

// Whether every `when` holds, its variables put in. `problem` is what is wrong with a CEL expression.
struct WhenVerdict {
  bool holds = true;
  std::string problem;
};
WhenVerdict evaluate_when(const std::vector<When>& when);

// A task's `when` with everything put in that is known.
std::vector<When> resolve_when(const Plan& plan, size_t task, const RunFacts& facts,
                               const RunContext& context);

// How to compile what a task of kind Pipeline runs, now that its params are known: recompile(plan.sources,
// plan.remote, nested_request(…)) gives its Plan.
RunRequest nested_request(const Plan& plan, size_t task, const RunFacts& facts, const RunContext& context,
                          TaskRunIndex which = {});

// The pipeline's results; those that need a result nobody produced are left out.
std::vector<std::pair<std::string, ParamValue>> resolve_results(const Plan& plan, const RunFacts& facts,
                                                                const RunContext& context);

// One that is left out although tasks whose result it needs have succeeded.
struct LostResult {
  std::string name;
  std::vector<size_t> tasks;  // those that succeeded without it, at least one
};
std::vector<LostResult> lost_results(const Plan& plan, const RunFacts& facts, const RunContext& context);

// "<run>-<task>", with "-<i>" for those of a matrix of several, at most 63 characters, hashed when longer as
// Knative's controllers do (kmeta.ChildName); the run's own name for a lone Task. The same for each attempt.
std::string child_name(const Plan& plan, size_t task, std::string_view run_name, TaskRunIndex which = {});

// What the document calls a step, or "unnamed-N", as Tekton does.
std::string step_name(const Step& step, size_t index);

// The pod of one attempt of a TaskRun, as Tekton calls it: "<TaskRun>-pod", then "<TaskRun>-pod-retry1",
// hashed when longer as child_name() is.
std::string pod_name(std::string_view task_run, int attempt);

// `$(context.taskRun.uid)`, a UUID: stable, and told apart from any other child's by the name.
std::string child_uid(const Plan& plan, std::string_view run_uid, std::string_view name);

// What is wrong with the results that a Task wrote (bytes by name), in Tekton's words: one is not of its
// declared type, or lacks keys; "" when nothing is. One that is not there is no problem of the Task.
std::string results_problem(const std::vector<ResultSpec>& declared,
                            const std::map<std::string, std::string>& results);

// The bytes of a result file as the declared type says. Malformed JSON for an array or object is nullopt.
std::optional<ParamValue> parse_result(ParamType type, std::string_view bytes);

}  // namespace kiln::dag
