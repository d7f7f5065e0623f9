#pragma once

#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "dag/check_task.h"
#include "dag/compile.h"

// The inside of compile(): one target, from documents to Plan. Used by select.cc, compile_*.cc only.
namespace kiln::dag {

// What is going to run, whatever kind of document asked for it: a lone Task becomes a Pipeline of one task.
struct Target {
  Plan::Kind kind = Plan::Kind::Pipeline;
  std::string name, run_prefix;
  bool inline_task = false;  // a TaskRun with a taskSpec: its params and workspaces propagate
  std::string file;          // of the spec
  std::shared_ptr<const PipelineSpec> spec;
  std::string run_file;  // of the PipelineRun or TaskRun; empty when there is none
  Position run_at;
  std::vector<Param> params;
  std::vector<WorkspaceBinding> workspaces;
  Timeouts timeouts;
};

// Loaded objects by name, and those fetched on the way.
class Catalog {
 public:
  // `fetch_remote`: whether the resolver is asked; else a remote reference is taken for right.
  Catalog(const Documents& documents, Resolver& resolver, bool fetch_remote)
      : documents_(documents), resolver_(resolver), fetch_remote_(fetch_remote) {
    for (const Task& task : documents.tasks) tasks_.emplace(task.metadata.name.value, &task);
  }
  const Documents& documents() const { return documents_; }
  const Task* task(const std::string& name) const {
    const auto found = tasks_.find(name);
    return found == tasks_.end() ? nullptr : found->second;
  }
  std::vector<std::string> task_names() const;
  std::vector<std::string> pipeline_names() const;

  // The object a reference means; nullptr after reporting why there is none. `lenient`: a name that is not
  // loaded is a warning (it may be on the cluster), for lint.
  const Task* find_task(const Ref& ref, Reporter& reporter, Diagnostics& diagnostics, bool lenient);
  const Pipeline* find_pipeline(const Ref& ref, Reporter& reporter, Diagnostics& diagnostics, bool lenient);
  const std::map<std::string, std::string>& remote() const { return remote_; }

 private:
  const Documents* fetch(const Ref& ref, std::string_view kind, Reporter& reporter, Diagnostics& diagnostics);

  const Documents& documents_;
  Resolver& resolver_;
  const bool fetch_remote_;
  std::unordered_map<std::string, const Task*> tasks_;
  std::map<std::string, std::string> remote_;
  std::map<std::string, Documents> fetched_;
};

std::optional<Target> select(Catalog& catalog, const RunRequest& request, Diagnostics& diagnostics);
std::optional<Target> target_of(const PipelineRun& run, Catalog& catalog, Diagnostics& diagnostics,
                                bool lenient);
std::optional<Target> target_of(const TaskRun& run, Catalog& catalog, Diagnostics& diagnostics, bool lenient);
Target target_of(const Pipeline& pipeline);
Target target_of(const Task& task);

class Compiler {
 public:
  Compiler(Catalog& catalog, const Target& target, const RunRequest& request, Diagnostics& diagnostics,
           bool lenient)
      : catalog_(catalog),
        target_(target),
        request_(request),
        diagnostics_(diagnostics),
        lenient_(lenient),
        reporter_(catalog.documents(), target.file, diagnostics),
        run_reporter_(catalog.documents(), target.run_file.empty() ? target.file : target.run_file,
                      diagnostics) {}

  Plan run();

 private:
  // compile_inputs.cc: what the run is given
  void decide_params();
  void decide_workspaces();
  void decide_timeouts();
  std::vector<Param> given_params();
  void check_value(const ParamSpec& spec, const Param& given, Reporter& reporter);

  // compile_tasks.cc: each pipeline task by itself
  void plan_tasks();
  void plan_task(const PipelineTask& from, bool is_finally);
  bool choose_spec(const PipelineTask& from, PlannedTask& task);
  void check_task_params(const PipelineTask& from, PlannedTask& task);
  void check_when(const PipelineTask& from);
  void check_pipeline_text(std::string_view text, Position at, ArrayUse arrays, Reporter& reporter);
  void bind_workspaces(const PipelineTask& from, PlannedTask& task);
  std::optional<ParamType> type_of(const ParamValue& value) const;

  // compile_graph.cc: tasks together
  void connect();
  void connect_task(size_t index, const PipelineTask& from);
  void use_result(size_t index, const Reference& reference, std::string_view written, Position at,
                  EdgeReason::Kind kind, bool required);
  void add_edge(size_t index, size_t from, EdgeReason reason);
  void sort_topologically();
  void report_cycle(const std::vector<bool>& placed);
  void connect_finally();
  void check_results();

  Catalog& catalog_;
  const Target& target_;
  const RunRequest& request_;
  Diagnostics& diagnostics_;
  bool lenient_;
  Reporter reporter_;
  Reporter run_reporter_;

  Plan plan_;
  ParamScope pipeline_scope_;
  Variables param_values_;
  std::vector<const PipelineTask*> from_;  // beside plan_.tasks, until the tasks are sorted
  std::unordered_map<std::string, size_t> index_;
  std::unordered_map<const TaskSpec*, bool> checked_;
};

}  // namespace kiln::dag
