#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "dag/model.h"

namespace kiln::dag {

// What the user asked to run, beside the documents.
struct RunRequest {
  std::string target;  // --pipeline: a Pipeline, PipelineRun, Task or TaskRun by name; empty: the only one
  std::vector<std::pair<std::string, std::string>> params;  // -p, in order; a repeated array param appends
  std::vector<WorkspaceBinding> workspaces;                 // -w

  // Only to be looked at: ConfigMaps and Secrets that a run would need may be missing.
  bool preview = false;

  // A pipeline inside the target's, as nested_request() asks for it: the pipeline tasks that lead to it,
  // outermost first, each with the params of the pipeline it stands in; and its own params.
  struct Level {
    std::string task;
    std::vector<Param> params;
  };
  std::vector<Level> within;
  std::vector<Param> values;
};

// Reads the value of `-w`: "name=DIR", "name=emptyDir", "name=claim=NAME", "name=config=NAME",
// "name=secret=NAME". Throws Usage.
WorkspaceBinding parse_workspace_flag(std::string_view flag);

// Why one task waits for another.
struct EdgeReason {
  enum class Kind { RunAfter, Result, When, Finally, Workspace };
  Kind kind;
  std::string detail;  // the result's or workspace's name
  auto operator<=>(const EdgeReason&) const = default;
};
std::string_view to_string(EdgeReason::Kind kind);

struct Edge {
  size_t from = 0;  // index into Plan::tasks
  // Workspace is never the only reason: two tasks that share a folder are ordered by something else.
  std::vector<EdgeReason> reasons;
};

struct ResultUse {
  size_t task = 0;
  std::string result;  // empty: only that the task ran matters (the length of its matrix, an artifact)
  auto operator<=>(const ResultUse&) const = default;
};

// Annotations that Kiln gives a meaning (docs/tekton.md); a document that has them stays valid Tekton.
namespace annotation {
inline constexpr std::string_view kFailFast = "kiln.dev/fail-fast";             // of a matrix: "true"
inline constexpr std::string_view kResultDefault = "kiln.dev/result-default.";  // + task + "." + result
inline constexpr std::string_view kCache = "kiln.dev/cache";                    // "inputs" or "off"
inline constexpr std::string_view kConcurrencyGroup = "kiln.dev/concurrency-group";
inline constexpr std::string_view kConcurrency = "kiln.dev/concurrency";  // "queue" or "cancel-previous"
}  // namespace annotation

// A workspace of a task, and what stands behind it in this run.
struct TaskWorkspace {
  WorkspaceDeclaration declaration;
  WorkspaceBinding binding;  // its name is the pipeline's
  bool bound = true;         // false: optional, and nobody provided it
  std::string path() const;  // inside the sandbox; empty when not bound
};

struct Plan;

// What a custom task's controller is given.
struct CustomTask {
  std::string api_version, kind;
  std::string name;  // customRef.name; empty for an inline spec
  std::string spec;  // JSON of the inline spec
};

struct PlannedTask {
  enum class Kind { Task, Custom, Pipeline };
  Kind kind = Kind::Task;
  std::string name;
  std::string display_name;  // of the pipeline task; may hold $(params.…) of the task, contexts and results
  std::string task_name;     // metadata.name of the Task or Pipeline referred to; empty for an inline spec
  Labels annotations;        // of that Task
  bool is_finally = false;
  bool inline_spec = false;              // the pipeline's params propagate into it
  std::shared_ptr<const TaskSpec> spec;  // Task: as written; see resolve_task for what really runs
  std::optional<CustomTask> custom;
  // Pipeline: what is known of it before its params are: for graphs and checks. nested_request() says what
  // really runs.
  std::shared_ptr<const Plan> pipeline;
  std::vector<Param> params;     // as passed, the pipeline's params already put in
  std::optional<Matrix> matrix;  // likewise; see combinations()
  std::vector<When> when;        // likewise
  std::vector<TaskWorkspace> workspaces;
  std::vector<Edge> needs;
  std::vector<size_t> dependents;  // tasks that have an edge from this one; not for finally
  std::vector<ResultUse> uses;     // results without which it is skipped
  int retries = 0;
  Duration timeout{};  // per attempt; zero: none
  bool continue_on_error = false;
  // taskRunTemplate and its taskRunSpecs item, as one; never null. Its timeout is already in `timeout`.
  std::shared_ptr<const TaskRunSettings> settings;
  std::string file;       // where the pipeline task stands
  std::string spec_file;  // where its Task stands
  Position at;

  const std::vector<ParamSpec>& declared_params() const;
  const std::vector<ResultSpec>* declared_results() const;  // nullptr: not known (custom tasks)
  // What the bytes of a result are; of a matrix: what all of them are together. String for what is not known.
  ParamType result_type(std::string_view result) const;
};

// The objects of core/v1 that volumes, environments and credentials are made of, by name.
struct ClusterObjects {
  std::map<std::string, KeyValues> config_maps, secrets;
  std::map<std::string, ServiceAccount> service_accounts;
};

// A compiled run: checked, ordered, ready. Immutable once compile() has returned it; holds no reference to
// anything outside. The executor, `kiln graph` and `kiln run -n` read the same one.
struct Plan {
  enum class Kind { Pipeline, Task, CustomRun };
  Kind kind = Kind::Pipeline;      // the others are plans of one task
  std::string name;                // of the Pipeline, or the Task
  bool inline_spec = false;        // a pipelineSpec; to its own tasks it has the name of the run
  std::string run_prefix;          // run names are made from it: "hello-run-" → "hello-run-x7k2p"
  std::vector<PlannedTask> tasks;  // the DAG in topological order, then the finally tasks
  size_t dag_size = 0;             // tasks[dag_size…] are finally tasks
  std::vector<ParamSpec> declared_params;
  std::vector<WorkspaceDeclaration> declared_workspaces;
  std::vector<Param> params;  // every param with its value, defaults included
  std::vector<WorkspaceBinding> workspaces;
  std::vector<ResultSpec> results;
  Duration timeout{};          // of the whole run; zero: none, as below
  Duration tasks_timeout{};    // of the DAG
  Duration finally_timeout{};  // of the finally tasks, from their start
  std::string status;          // spec.status of the run: PipelineRunPending, TaskRunPending, Cancelled, …
  Labels annotations, labels;  // of the run and of the Pipeline or Task; the run's win
  std::shared_ptr<const ClusterObjects> objects;

  // Everything needed to compile this same plan again.
  RunRequest request;
  std::map<std::string, std::string> sources;  // file → text
  std::map<std::string, std::string> remote;   // remote reference → text (see Resolver)

  std::string_view kind_name() const;                         // Pipeline, Task, CustomRun
  const PlannedTask* task(std::string_view task_name) const;  // nullptr: there is none
  std::unordered_map<std::string, size_t> index;              // name → place in `tasks`
};

// What an annotation says for one task: its run's, its inline spec's, its Task's, the pipeline run's; the
// first of these that has it. "" when none does.
std::string_view annotation_of(const Plan& plan, const PlannedTask& task, std::string_view name);

}  // namespace kiln::dag
