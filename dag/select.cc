#include <set>

#include "base/text.h"
#include "dag/compiler.h"
#include "dag/params.h"

namespace kiln::dag {
namespace {

constexpr size_t kShown = 12;

std::string shown(const std::vector<std::string>& names) {
  return list_of(names, ", ", kShown);
}

// Pipelines that no other refers to: with several in a file, the outermost is what is meant.
std::vector<const Pipeline*> outermost(const Documents& documents) {
  std::set<std::string_view> inner;
  for (const Pipeline& pipeline : documents.pipelines)
    for (const auto* tasks : {&pipeline.spec->tasks, &pipeline.spec->finally})
      for (const PipelineTask& task : *tasks)
        if (task.pipeline_ref.resolver.empty()) inner.insert(task.pipeline_ref.name.value);
  std::vector<const Pipeline*> out;
  for (const Pipeline& pipeline : documents.pipelines)
    if (!inner.contains(pipeline.metadata.name.value)) out.push_back(&pipeline);
  return out;
}

class Selection {
 public:
  Selection(Catalog& catalog, Diagnostics& diagnostics)
      : catalog_(catalog), documents_(catalog.documents()), diagnostics_(diagnostics) {}

  std::optional<Target> named(const std::string& name) {
    const auto is_named = [&](const Object& run) {
      return run.metadata.name.value == name || run.metadata.display() == name;
    };
    std::vector<const PipelineRun*> of_pipeline;
    for (const PipelineRun& run : documents_.pipeline_runs) {
      if (is_named(run)) return target_of(run, catalog_, diagnostics_, {});
      if (run.pipeline_ref.name.value == name) of_pipeline.push_back(&run);
    }
    if (of_pipeline.size() == 1) return target_of(*of_pipeline.front(), catalog_, diagnostics_, {});
    if (const Pipeline* pipeline = documents_.pipeline(name)) return target_of(*pipeline);
    for (const TaskRun& run : documents_.task_runs)
      if (is_named(run)) return target_of(run, catalog_, diagnostics_, {});
    for (const CustomRun& run : documents_.custom_runs)
      if (is_named(run)) return target_of(run);
    if (const Task* task = documents_.task(name)) return target_of(*task);
    std::vector<std::string> known = catalog_.pipeline_names();
    for (const auto& more : {display_names(documents_.pipeline_runs), display_names(documents_.task_runs),
                             display_names(documents_.custom_runs), catalog_.task_names()})
      known.insert(known.end(), more.begin(), more.end());
    const std::string near = did_you_mean(name, known);
    return fail("nothing named \"" + name + "\" is among the documents loaded",
                near.empty() ? "there are: " + shown(known) : near);
  }

  std::optional<Target> only() {
    std::vector<std::string> runs = display_names(documents_.pipeline_runs);
    for (const auto& more : {display_names(documents_.task_runs), display_names(documents_.custom_runs)})
      runs.insert(runs.end(), more.begin(), more.end());
    if (runs.size() > 1)
      return fail("several runs to choose from: " + shown(runs), "choose one: --pipeline " + runs.front());
    if (!documents_.pipeline_runs.empty())
      return target_of(documents_.pipeline_runs.front(), catalog_, diagnostics_, {});
    if (!documents_.task_runs.empty())
      return target_of(documents_.task_runs.front(), catalog_, diagnostics_, {});
    if (!documents_.custom_runs.empty()) return target_of(documents_.custom_runs.front());
    if (const auto outer = outermost(documents_); outer.size() == 1) return target_of(*outer.front());
    const std::vector<std::string> pipelines = catalog_.pipeline_names();
    if (!pipelines.empty())
      return fail("several pipelines to choose from: " + shown(pipelines),
                  "choose one: --pipeline " + pipelines.front());
    if (documents_.tasks.size() > 1)
      return fail("several tasks and no pipeline: " + shown(catalog_.task_names()),
                  "choose one: --pipeline " + documents_.tasks.front().metadata.name.value);
    if (documents_.tasks.size() == 1) return target_of(documents_.tasks.front());
    if (has_errors(diagnostics_)) return std::nullopt;  // why nothing was read has been said
    return fail("there is no Pipeline, PipelineRun, Task or TaskRun here",
                "these have `apiVersion: tekton.dev/v1`");
  }

  // Follows the pipeline tasks that lead to a nested pipeline.
  std::optional<Target> within(Target outer, const RunRequest& request) {
    for (const RunRequest::Level& level : request.within) {
      const PipelineTask* task = nullptr;
      for (const auto* tasks : {&outer.spec->tasks, &outer.spec->finally})
        for (const PipelineTask& one : *tasks)
          if (one.name.value == level.task) task = &one;
      if (task == nullptr) return fail("pipeline `" + outer.name + "` has no task `" + level.task + "`", "");
      Variables params;
      set_params(params, level.params);
      std::optional<Target> inner = nested_target(outer, *task, catalog_, params, diagnostics_, {});
      if (!inner) return std::nullopt;
      outer = std::move(*inner);
    }
    outer.params = request.values;
    return outer;
  }

 private:
  std::optional<Target> fail(std::string message, std::string hint) {
    const auto& sources = documents_.sources;
    diagnostics_.push_back({Severity::Error,
                            sources.empty() ? "" : sources.begin()->first,
                            {},
                            std::move(message),
                            std::move(hint)});
    return std::nullopt;
  }

  Catalog& catalog_;
  const Documents& documents_;
  Diagnostics& diagnostics_;
};

}  // namespace

std::optional<Target> select(Catalog& catalog, const RunRequest& request, Diagnostics& diagnostics) {
  Selection selection(catalog, diagnostics);
  std::optional<Target> target = request.target.empty() ? selection.only() : selection.named(request.target);
  if (!target || request.within.empty()) return target;
  return selection.within(std::move(*target), request);
}

}  // namespace kiln::dag
