#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

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
  virtual std::string_view status(size_t task) const = 0;                          // Succeeded, Failed, None
  virtual std::string_view reason(size_t task) const = 0;  // as in the TaskRun's condition; "" when not run
  virtual std::string_view aggregate_status() const = 0;   // of the DAG: Succeeded, Failed, Completed, None
};

// Nothing has run: for previews.
const RunFacts& no_facts();

struct Readiness {
  enum class Kind { Ready, WhenFalse, MissingResults, Invalid };
  Kind kind = Kind::Ready;
  std::string message;  // Invalid: Tekton's words, e.g. an index past the end of an array result
};

// Whether a task whose parents are done should run. Cheap: only `when` and consumed results are looked at.
Readiness check_ready(const Plan& plan, size_t task, const RunFacts& facts, const RunContext& context);

// A task with everything substituted that the facts allow; step values merged with stepTemplate, names given
// to unnamed steps ("unnamed-N").
struct ResolvedTask {
  TaskSpec spec;
  std::vector<Param> params;
  std::vector<TaskWorkspace> workspaces;
};

// `attempt` counts from 0 (`$(context.task.retry-count)`).
ResolvedTask resolve_task(const Plan& plan, size_t task, const RunFacts& facts, const RunContext& context,
                          int attempt);

// The pipeline's results; those that need a result nobody produced are left out.
std::vector<std::pair<std::string, ParamValue>> resolve_results(const Plan& plan, const RunFacts& facts,
                                                                const RunContext& context);

// "<run>-<task>", at most 63 characters, hashed when longer; the run's own name for a lone Task.
std::string child_name(const Plan& plan, size_t task, std::string_view run_name);

// The bytes of a result file as the declared type says. Malformed JSON for an array or object is nullopt.
std::optional<ParamValue> parse_result(ParamType type, std::string_view bytes);

}  // namespace kiln::dag
