#include "base/text.h"
#include "dag/compiler.h"
#include "dag/convert_bindings.h"
#include "dag/params.h"

namespace kiln::dag {
namespace {

constexpr size_t kDeepestNesting = 50;

// A Pipeline of one task that hands on every param and workspace, so that a Task runs by the same rules.
std::shared_ptr<const PipelineSpec> wrap(const std::string& name, std::shared_ptr<const TaskSpec> spec,
                                         const Text& timeout, int retries) {
  auto pipeline = std::make_shared<PipelineSpec>();
  pipeline->params = spec->params;
  pipeline->workspaces = spec->workspaces;
  pipeline->at = spec->at;
  PipelineTask task;
  task.name = {name, spec->at};
  task.at = spec->at;
  task.timeout = timeout;
  task.retries = retries;
  for (const ParamSpec& param : spec->params)
    task.params.push_back(
        {param.name, ParamValue::string("$(params['" + param.name.value + "'])"), param.name.at});
  for (const WorkspaceDeclaration& workspace : spec->workspaces)
    task.workspaces.push_back({workspace.name, workspace.name, {}});
  for (const ResultSpec& result : spec->results) {
    ResultSpec out = result;
    out.value = ParamValue::string("$(tasks." + name + ".results['" + result.name.value + "'])");
    out.value_at = result.name.at;
    pipeline->results.push_back(std::move(out));
  }
  task.task_spec = std::move(spec);
  pipeline->tasks.push_back(std::move(task));
  return pipeline;
}

// Kubernetes appends five characters to generateName; a fixed name needs them too, since here the same
// document runs again and again.
std::string prefix_of(const Metadata& metadata) {
  return metadata.name.empty() ? metadata.generate_name.value : metadata.name.value + "-";
}

// An object's name as the name of its only pipeline task, which may hold less.
std::string task_name_for(std::string_view name) {
  std::string out;
  for (char c : to_lower(name)) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (plain || (!out.empty() && out.back() != '-')) out += plain ? c : '-';
  }
  out.resize(std::min<size_t>(out.size(), 63));
  while (out.ends_with('-')) out.pop_back();
  return out.empty() ? "task" : out;
}

// The documents own the spec, and a Target does not outlive them.
template <class T>
std::shared_ptr<const T> borrowed(const T& object) {
  return {std::shared_ptr<void>(), &object};
}

// What the target has of its Pipeline or Task stays, but where the run says otherwise.
void add_run(Target& target, const Object& run) {
  target.run_prefix = prefix_of(run.metadata);
  target.run_file = run.file;
  target.run_at = run.at;
  const auto merge = [](Labels mine, Labels theirs) {
    mine.merge(theirs);
    return mine;
  };
  target.annotations = merge(run.metadata.annotations, std::move(target.annotations));
  target.labels = merge(run.metadata.labels, std::move(target.labels));
}

// What PipelineRuns and TaskRuns have alike.
template <class Run>
void give(Target& target, const Run& run, const Catalog& catalog, Reporter& reporter, Leniency lenient) {
  add_run(target, run);
  target.params = run.params;
  add_resource_params(catalog.documents(), *target.spec, run.resources, reporter, lenient.names,
                      target.params);
  target.workspaces = run.workspaces;
  target.settings = run.settings;
  target.status = run.status;
}

}  // namespace

Target target_of(const Pipeline& pipeline) {
  Target target;
  target.name = pipeline.metadata.name;
  target.run_prefix = target.name + "-run-";
  target.file = pipeline.file;
  target.spec = borrowed(*pipeline.spec);
  target.annotations = pipeline.metadata.annotations;
  target.labels = pipeline.metadata.labels;
  return target;
}

Target target_of(const Task& task) {
  Target target;
  target.kind = Plan::Kind::Task;
  target.name = task.metadata.name;
  target.run_prefix = target.name + "-run-";
  target.file = task.file;
  target.spec = wrap(task_name_for(task.metadata.name.value), task.spec, {}, 0);
  target.annotations = task.metadata.annotations;
  target.labels = task.metadata.labels;
  return target;
}

std::optional<Target> target_of(const PipelineRun& run, Catalog& catalog, Diagnostics& diagnostics,
                                Leniency lenient) {
  Target target;
  Reporter reporter(catalog.documents(), run.file, diagnostics);
  if (run.pipeline_spec) {
    target.inline_pipeline = true;
    target.spec = run.pipeline_spec;
    target.file = run.file;
    target.name = run.metadata.display();
  } else {
    if (!run.pipeline_ref.given()) return std::nullopt;  // reported when it was read
    Variables params;
    set_params(params, run.params);
    const Pipeline* pipeline =
        catalog.find_pipeline(substitute_ref(run.pipeline_ref, params), reporter, diagnostics, lenient);
    if (pipeline == nullptr) return std::nullopt;
    target = target_of(*pipeline);
  }
  give(target, run, catalog, reporter, lenient);
  target.timeouts = run.timeouts;
  target.task_run_specs = run.task_run_specs;
  return target;
}

std::optional<Target> target_of(const TaskRun& run, Catalog& catalog, Diagnostics& diagnostics,
                                Leniency lenient) {
  Target target;
  Reporter reporter(catalog.documents(), run.file, diagnostics);
  std::shared_ptr<const TaskSpec> spec = run.task_spec;
  if (spec) {
    target.inline_task = true;
    target.file = run.file;
    target.name = run.metadata.display();
  } else {
    if (!run.task_ref.given()) return std::nullopt;
    Variables params;
    set_params(params, run.params);
    const Task* task =
        catalog.find_task(substitute_ref(run.task_ref, params), reporter, diagnostics, lenient);
    if (task == nullptr) return std::nullopt;
    target = target_of(*task);
    spec = task->spec;
  }
  target.kind = Plan::Kind::Task;
  target.spec = wrap(task_name_for(target.name), std::move(spec), run.settings.timeout, run.retries);
  give(target, run, catalog, reporter, lenient);
  target.settings.timeout = {};  // already the task's own
  return target;
}

std::optional<Target> target_of(const CustomRun& run) {
  if (run.ref.given() == run.spec.has_value()) return std::nullopt;  // reported when it was read
  auto pipeline = std::make_shared<PipelineSpec>();
  pipeline->at = run.at;
  PipelineTask task;
  task.name = {task_name_for(run.metadata.display()), run.at};
  task.at = run.at;
  task.task_ref = run.ref;
  task.custom_spec = run.spec;
  task.params = run.params;
  task.timeout = run.timeout;
  task.retries = run.retries;
  for (const WorkspaceBinding& binding : run.workspaces) {
    task.workspaces.push_back({binding.name, binding.name, {}});
    pipeline->workspaces.push_back({.name = binding.name});
  }
  pipeline->tasks.push_back(std::move(task));
  Target target;
  target.kind = Plan::Kind::CustomRun;
  target.name = run.metadata.display();
  target.file = run.file;
  target.spec = std::move(pipeline);
  target.settings.service_account = run.service_account;
  target.workspaces = run.workspaces;
  target.status = run.status;
  add_run(target, run);
  return target;
}

std::optional<Target> nested_target(const Target& outer, const PipelineTask& task, Catalog& catalog,
                                    const Variables& params, Diagnostics& diagnostics, Leniency lenient) {
  Reporter reporter(catalog.documents(), outer.file, diagnostics);
  Target target;
  if (task.pipeline_spec) {
    target.inline_pipeline = true;
    target.spec = task.pipeline_spec;
    target.file = outer.file;
    target.name = task.name;
  } else {
    const Ref ref = substitute_ref(task.pipeline_ref, params);
    const Pipeline* pipeline = catalog.find_pipeline(ref, reporter, diagnostics, lenient);
    if (pipeline == nullptr) return std::nullopt;
    target = target_of(*pipeline);
  }
  target.ancestors = outer.ancestors;
  target.ancestors.push_back(outer.name);
  const auto again = std::ranges::find(target.ancestors, target.name);
  if (!task.pipeline_spec && again != target.ancestors.end()) {
    const std::vector<std::string> cycle(again, target.ancestors.end());
    reporter.error(task.pipeline_ref.at, "pipeline \"" + target.name + "\" runs itself",
                   "the whole cycle: " + join(cycle, " → ") + " → " + target.name);
    return std::nullopt;
  }
  if (target.ancestors.size() > kDeepestNesting) {
    reporter.error(task.name.at,
                   "pipelines are nested more than " + std::to_string(kDeepestNesting) + " deep");
    return std::nullopt;
  }
  target.settings = outer.settings;
  target.run_prefix = outer.run_prefix;
  return target;
}

}  // namespace kiln::dag
