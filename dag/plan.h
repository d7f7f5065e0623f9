#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
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
};

// Reads the value of `-w`: "name=DIR", "name=emptyDir", "name=claim=NAME", "name=config=NAME",
// "name=secret=NAME". Throws Usage.
WorkspaceBinding parse_workspace_flag(std::string_view flag);

// Why one task waits for another.
struct EdgeReason {
  enum class Kind { RunAfter, Result, When, Finally, Workspace };
  Kind kind;
  std::string detail;  // the result's or workspace's name
  bool operator==(const EdgeReason&) const = default;
};
std::string_view to_string(EdgeReason::Kind kind);

struct Edge {
  size_t from = 0;  // index into Plan::tasks
  // Workspace is never the only reason: two tasks that share a folder are ordered by something else.
  std::vector<EdgeReason> reasons;
};

struct ResultUse {
  size_t task = 0;
  std::string result;
  auto operator<=>(const ResultUse&) const = default;
};

// A workspace of a task, and what stands behind it in this run.
struct TaskWorkspace {
  WorkspaceDeclaration declaration;
  WorkspaceBinding binding;  // its name is the pipeline's
  bool bound = true;         // false: optional, and nobody provided it
  std::string path() const;  // inside the sandbox; empty when not bound
};

struct PlannedTask {
  std::string name;
  std::string display_name;
  std::string task_name;  // metadata.name of the Task referred to; empty for an inline spec
  bool is_finally = false;
  bool inline_spec = false;              // the pipeline's params propagate into it
  std::shared_ptr<const TaskSpec> spec;  // as written: see resolve_task for what really runs
  std::vector<Param> params;             // as passed, the pipeline's params already put in
  std::vector<When> when;                // likewise
  std::vector<TaskWorkspace> workspaces;
  std::vector<Edge> needs;
  std::vector<size_t> dependents;  // tasks that have an edge from this one; not for finally
  std::vector<ResultUse> uses;     // results without which it is skipped
  int retries = 0;
  Duration timeout{};  // per attempt; zero: none
  bool continue_on_error = false;
  std::string file;  // where the pipeline task stands
  Position at;
};

// A compiled run: checked, ordered, ready. Immutable once compile() has returned it; holds no reference to
// anything outside. The executor, `kiln graph` and `kiln run -n` read the same one.
struct Plan {
  enum class Kind { Pipeline, Task };
  Kind kind = Kind::Pipeline;
  std::string name;                // of the Pipeline, or the Task
  std::string run_prefix;          // run names are made from it: "hello-run-" → "hello-run-x7k2p"
  std::vector<PlannedTask> tasks;  // the DAG in topological order, then the finally tasks
  size_t dag_size = 0;             // tasks[dag_size…] are finally tasks
  std::vector<Param> params;       // every param with its value, defaults included
  std::vector<WorkspaceBinding> workspaces;
  std::vector<ResultSpec> results;
  Duration timeout{};          // of the whole run; zero: none, as below
  Duration tasks_timeout{};    // of the DAG
  Duration finally_timeout{};  // of the finally tasks, from their start

  // Everything needed to compile this same plan again.
  RunRequest request;
  std::map<std::string, std::string> sources;  // file → text
  std::map<std::string, std::string> remote;   // remote reference → text (see Resolver)

  std::string_view kind_name() const { return kind == Kind::Pipeline ? "Pipeline" : "Task"; }
  const PlannedTask* task(std::string_view task_name) const;
};

}  // namespace kiln::dag
