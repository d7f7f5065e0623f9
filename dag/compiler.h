#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "dag/check_task.h"
#include "dag/compile.h"
#include "dag/param_problems.h"

// The inside of compile(): one target, from documents to Plan. Used by select.cc, compile_*.cc only.
namespace kiln::dag {

// What need not be known for a check to go on.
struct Leniency {
  bool names = false;   // a Task that is not loaded may be on the cluster: a warning
  bool values = false;  // params and workspaces get their values later
};

// What is going to run, whatever kind of document asked for it: a lone Task becomes a Pipeline of one task.
struct Target {
  Plan::Kind kind = Plan::Kind::Pipeline;
  std::string name, run_prefix;
  bool inline_task = false;      // a TaskRun with a taskSpec: its params and workspaces propagate
  bool inline_pipeline = false;  // a pipelineSpec
  std::string file;              // of the spec
  std::shared_ptr<const PipelineSpec> spec;
  std::string run_file;  // of the PipelineRun or TaskRun; empty when there is none
  Position run_at;
  std::vector<Param> params;
  std::vector<WorkspaceBinding> workspaces;
  Timeouts timeouts;
  TaskRunSettings settings;
  std::vector<TaskRunSettings> task_run_specs;
  std::string status;
  Labels annotations, labels;
  const ParamScope* outer_params = nullptr;  // of an inline nested pipeline: what propagates into it
  std::vector<std::string> ancestors;  // of a nested pipeline: the Pipelines it stands in, outermost first
};

// Loaded objects by name, and those fetched on the way.
class Catalog {
 public:
  // `fetch_remote`: whether the resolver is asked; else a remote reference is taken for right.
  Catalog(const Documents& documents, Resolver& resolver, bool fetch_remote);
  const Documents& documents() const { return documents_; }
  std::vector<std::string> task_names() const;
  std::vector<std::string> pipeline_names() const;

  // The object a reference means, its variables put in; nullptr after reporting why there is none.
  const Task* find_task(const Ref& ref, Reporter& reporter, Diagnostics& diagnostics, Leniency lenient);
  const Pipeline* find_pipeline(const Ref& ref, Reporter& reporter, Diagnostics& diagnostics,
                                Leniency lenient);
  const StepAction* find_step_action(const Ref& ref, Reporter& reporter, Diagnostics& diagnostics,
                                     Leniency lenient);
  // Counts `spec` as used once more. What is referred to again and again multiplies what a file of a few
  // megabytes costs: throws kiln::Error, whose message becomes a Diagnostic, when that gets out of hand.
  void spend(const TaskSpec& spec);
  void spend(size_t units);
  // Whether this is the first time that anyone asks; the same spec is the same mistakes.
  bool first_check(const TaskSpec& spec) { return checked_.insert(&spec).second; }
  const std::map<std::string, std::string>& remote() const { return remote_; }
  const std::shared_ptr<const ClusterObjects>& objects() const { return objects_; }

 private:
  template <class T>
  const T* find(const Ref& ref, std::string_view kind, const std::deque<T>& loaded,
                const std::deque<T> Documents::*objects, Reporter& reporter, Diagnostics& diagnostics,
                Leniency lenient);
  const Documents* fetch(const Ref& ref, std::string_view kind, Reporter& reporter, Diagnostics& diagnostics);

  const Documents& documents_;
  Resolver& resolver_;
  const bool fetch_remote_;
  std::map<std::string, std::string> remote_;
  std::map<std::string, Documents> fetched_;
  std::shared_ptr<const ClusterObjects> objects_;
  std::unordered_map<const TaskSpec*, size_t> weights_;
  std::unordered_set<const TaskSpec*> checked_;
  size_t spent_ = 0;
};

std::optional<Target> select(Catalog& catalog, const RunRequest& request, Diagnostics& diagnostics);
std::optional<Target> target_of(const PipelineRun& run, Catalog& catalog, Diagnostics& diagnostics,
                                Leniency lenient);
std::optional<Target> target_of(const TaskRun& run, Catalog& catalog, Diagnostics& diagnostics,
                                Leniency lenient);
std::optional<Target> target_of(const CustomRun& run);
Target target_of(const Pipeline& pipeline);
Target target_of(const Task& task);
// The pipeline that a pipeline task of `outer` runs.
std::optional<Target> nested_target(const Target& outer, const PipelineTask& task, Catalog& catalog,
                                    const Variables& params, Diagnostics& diagnostics, Leniency lenient);

// What a pipeline task runs, as its params and workspaces are checked against it.
struct Signature {
  std::string what;  // "Task `build`", for messages
  const std::vector<ParamSpec>* params = nullptr;
  const std::vector<WorkspaceDeclaration>* workspaces = nullptr;
};

// What to call each of some documents on the command line and in messages.
template <class T>
std::vector<std::string> display_names(const std::deque<T>& objects) {
  std::vector<std::string> out;
  for (const T& object : objects) out.push_back(object.metadata.display());
  return out;
}

class Compiler {
 public:
  Compiler(Catalog& catalog, const Target& target, const RunRequest& request, Diagnostics& diagnostics,
           Leniency lenient);

  Plan run();

 private:
  // compile_inputs.cc: what the run is given
  void decide_params();
  void report_missing_params();
  void decide_workspaces();
  void decide_timeouts();
  void decide_settings();
  void check_annotations();  // compile_annotations.cc: those that are Kiln's own
  std::vector<Param> given_params();

  // compile_values.cc: what can be said of a param's value
  void check_value(const ParamSpec& spec, const Param& given, Reporter& reporter);
  void check_enum(const ParamSpec& spec, const std::string& value, Position at, Reporter& reporter);
  void check_default_keys(const ParamSpec& spec, Position at, Reporter& reporter, std::string hint);
  void check_matrix_values(const Matrix& written, const PlannedTask& task);
  void check_past_end(std::string_view text, Position at, Reporter& reporter);
  void check_items(const PipelineTask& from, const PlannedTask& task);

  // compile_tasks.cc: each pipeline task by itself
  void plan_tasks();
  void report_no_tasks();
  void plan_task(const PipelineTask& from, bool is_finally);
  void choose_spec(const PipelineTask& from, PlannedTask& task, Signature& signature);
  void choose_inline(const PipelineTask& from, PlannedTask& task);
  void choose_task(const PipelineTask& from, PlannedTask& task);
  void choose_custom(const PipelineTask& from, PlannedTask& task);
  void choose_pipeline(const PipelineTask& from, PlannedTask& task);
  ParamScope propagated(const PipelineTask& from) const;
  void bind_actions(PlannedTask& task);
  void check_on_error(const PipelineTask& from, PlannedTask& task);
  void check_overrides(const PlannedTask& task);
  void decide_task_settings(const PipelineTask& from, PlannedTask& task);

  // compile_params.cc: what a pipeline task passes
  void check_task_params(const PipelineTask& from, PlannedTask& task, const Signature& signature);
  void report_params(const PipelineTask& from, const PlannedTask& task, const Signature& signature,
                     std::vector<std::string> missing);
  void check_given(const Param& given, const Param& value, const ParamSpec& spec);
  void check_matrix(const PipelineTask& from, PlannedTask& task);
  void check_when(const PipelineTask& from, PlannedTask& task);
  void check_pipeline_text(std::string_view text, Position at, ArrayUse arrays, Reporter& reporter);
  std::optional<ParamType> type_of(const ParamValue& value) const;

  // compile_workspaces.cc
  void bind_workspaces(const PipelineTask& from, PlannedTask& task, const Signature& signature);
  std::map<std::string, std::string> workspace_slips(const PipelineTask& from, const PlannedTask& task,
                                                     const Signature& signature) const;
  void check_uses(const PipelineTask& from, const PlannedTask& task, const Signature& signature,
                  const std::map<std::string, std::string>& slips);
  void propagate_workspaces(const PipelineTask& from, PlannedTask& task);
  void bind(PlannedTask& task, const WorkspaceDeclaration& declaration, const std::string& pipeline_name,
            const Text& sub_path);
  void add_binding(WorkspaceBinding binding);
  const WorkspaceBinding* binding_of(const std::string& name) const;
  const WorkspaceDeclaration* declared_workspace(const std::string& name) const;

  // compile_objects.cc: the ConfigMaps and Secrets that the run needs
  void check_objects();

  // compile_images.cc: names of images that no registry takes
  void check_images();

  // compile_results.cc: what tasks take from each other
  using Complaint = std::function<void(std::string message, std::string hint)>;
  const ResultSpec* declared_result(const PlannedTask& producer, const std::string& result,
                                    std::string_view invalid, const Complaint& complain);
  void use_result(size_t index, const Reference& reference, std::string_view written, Position at,
                  EdgeReason::Kind kind, bool in_spec);
  bool check_result(const PlannedTask& producer, const Reference& reference, std::string_view written,
                    const Complaint& complain);
  void need(size_t index, size_t from, std::string result, EdgeReason reason);
  void check_results();
  void check_pipeline_result(const ResultSpec& result);
  const ResultSpec* find_result(const std::vector<ResultSpec>& results, const std::string& name);

  // compile_graph.cc: tasks together
  void connect();
  void connect_task(size_t index, const PipelineTask& from);
  void connect_run_after(size_t index, const PipelineTask& from);
  void begin_edges(size_t index);
  void add_edge(size_t index, size_t from, EdgeReason reason);
  void sort_topologically();
  void reorder(const std::vector<size_t>& order);
  void note_shared_workspaces();
  void report_cycles(const std::vector<bool>& placed);
  void report_cycle(const std::vector<bool>& placed, const std::vector<size_t>& cycle);
  void connect_finally();

  Catalog& catalog_;
  const Target& target_;
  const RunRequest& request_;
  Diagnostics& diagnostics_;
  Leniency lenient_;
  Reporter reporter_;
  Reporter run_reporter_;

  Plan plan_;
  ParamScope pipeline_scope_;
  Variables param_values_;
  ArrayLengths pipeline_lengths_;
  std::shared_ptr<const TaskRunSettings> default_settings_;
  std::vector<const PipelineTask*> from_;  // beside plan_.tasks, until the tasks are sorted
  std::unordered_map<std::string, size_t> index_;

  // Lists by name, each made when it is first asked about: a list may be long, and be asked about as often.
  using Names = std::unordered_set<std::string_view>;
  bool is_among(const std::vector<std::string>& list, const std::string& name);
  std::unordered_map<const std::vector<std::string>*, Names> names_;
  using Results = std::unordered_map<std::string_view, const ResultSpec*>;
  std::unordered_map<const std::vector<ResultSpec>*, Results> results_;
  std::unordered_map<std::string, size_t> bindings_;  // places in plan_.workspaces
  std::unordered_map<std::string_view, const WorkspaceDeclaration*> declared_workspaces_;
  std::unordered_map<std::string_view, const TaskRunSettings*> settings_of_;
  // Of the one task that is being connected.
  std::unordered_map<size_t, size_t> edge_from_;  // places in its `needs`
  std::set<std::pair<size_t, EdgeReason>> reasons_;
  std::set<ResultUse> uses_;
};

}  // namespace kiln::dag
