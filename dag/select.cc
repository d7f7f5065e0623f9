#include "base/error.h"
#include "base/text.h"
#include "dag/compiler.h"
#include "dag/convert_bindings.h"

namespace kiln::dag {
namespace {

template <class T>
std::vector<std::string> names(const std::deque<T>& objects) {
  std::vector<std::string> out;
  for (const T& object : objects) out.push_back(object.metadata.display());
  return out;
}

std::string list_of(const std::vector<std::string>& names) {
  constexpr size_t kShown = 12;
  std::vector<std::string> shown(names.begin(),
                                 names.begin() + static_cast<ptrdiff_t>(std::min(names.size(), kShown)));
  return join(shown, ", ") + (names.size() > kShown ? ", …" : "");
}

RemoteRef remote_ref(const Ref& ref, std::string_view kind) {
  RemoteRef remote{ref.resolver, std::string(kind), {}};
  for (const Param& param : ref.params) remote.params[param.name] = to_text(param.value);
  return remote;
}

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

}  // namespace

std::string RemoteRef::key() const {
  std::string out = resolver + " " + kind;
  for (const auto& [name, value] : params) out += " " + name + "=" + shell_quote(value);
  return out;
}

std::string StoredResolver::fetch(const RemoteRef& reference) {
  const auto found = texts_.find(reference.key());
  if (found == texts_.end())
    throw Error(ErrorKind::NotFound, "resolver \"" + reference.resolver + "\" is not available here",
                "save the " + reference.kind + " to a file and pass that file too");
  return found->second;
}

std::vector<std::string> Catalog::task_names() const {
  return names(documents_.tasks);
}
std::vector<std::string> Catalog::pipeline_names() const {
  return names(documents_.pipelines);
}

const Documents* Catalog::fetch(const Ref& ref, std::string_view kind, Reporter& reporter,
                                Diagnostics& diagnostics) {
  const RemoteRef remote = remote_ref(ref, kind);
  const std::string key = remote.key();
  if (const auto known = fetched_.find(key); known != fetched_.end()) return &known->second;
  try {
    std::string text = resolver_.fetch(remote);
    remote_[key] = text;
    load(fetched_[key], key, std::move(text), diagnostics);
    return &fetched_[key];
  } catch (const Error& e) {
    reporter.error(ref.resolver.at, e.full(), e.hint());
    return nullptr;
  }
}

const Task* Catalog::find_task(const Ref& ref, Reporter& reporter, Diagnostics& diagnostics, bool lenient) {
  std::string name = ref.name;
  if (!ref.resolver.empty() && ref.resolver.value != "cluster") {
    if (lenient) return nullptr;
    const Documents* documents = fetch(ref, "Task", reporter, diagnostics);
    if (documents == nullptr) return nullptr;
    if (!documents->tasks.empty()) return &documents->tasks.front();
    reporter.error(ref.resolver.at, "the resolver's answer holds no Task");
    return nullptr;
  }
  for (const Param& param : ref.params)
    if (param.name.value == "name") name = param.value.text;
  if (const Task* found = task(name)) return found;
  const Position at = ref.name.empty() ? ref.at : ref.name.at;
  std::string hint = did_you_mean(name, task_names());
  if (hint.empty()) hint = "pass the file that defines it too: `kiln run FILE FILE…`";
  if (lenient)
    reporter.warn(at, "Task \"" + name + "\" is not among the documents loaded", hint);
  else
    reporter.error(at, "Task \"" + name + "\" is not among the documents loaded", hint);
  return nullptr;
}

const Pipeline* Catalog::find_pipeline(const Ref& ref, Reporter& reporter, Diagnostics& diagnostics,
                                       bool lenient) {
  std::string name = ref.name;
  if (!ref.resolver.empty() && ref.resolver.value != "cluster") {
    if (lenient) return nullptr;
    const Documents* documents = fetch(ref, "Pipeline", reporter, diagnostics);
    if (documents == nullptr) return nullptr;
    if (!documents->pipelines.empty()) return &documents->pipelines.front();
    reporter.error(ref.resolver.at, "the resolver's answer holds no Pipeline");
    return nullptr;
  }
  for (const Param& param : ref.params)
    if (param.name.value == "name") name = param.value.text;
  if (const Pipeline* found = documents_.pipeline(name)) return found;
  const std::string near = did_you_mean(name, pipeline_names());
  const std::string message = "Pipeline \"" + name + "\" is not among the documents loaded";
  const std::string hint = near.empty() ? "pass the file that defines it too: `kiln run FILE FILE…`" : near;
  const Position at = ref.name.empty() ? ref.at : ref.name.at;
  if (lenient)
    reporter.warn(at, message, hint);
  else
    reporter.error(at, message, hint);
  return nullptr;
}

Target target_of(const Pipeline& pipeline) {
  Target target;
  target.name = pipeline.metadata.name;
  target.run_prefix = target.name + "-run-";
  target.file = pipeline.file;
  // The documents own the pipeline, and a Target does not outlive them.
  target.spec = std::shared_ptr<const PipelineSpec>(std::shared_ptr<void>(), &pipeline.spec);
  return target;
}

Target target_of(const Task& task) {
  Target target;
  target.kind = Plan::Kind::Task;
  target.name = task.metadata.name;
  target.run_prefix = target.name + "-run-";
  target.file = task.file;
  target.spec = wrap(task_name_for(task.metadata.name.value), task.spec, {}, 0);
  return target;
}

std::optional<Target> target_of(const PipelineRun& run, Catalog& catalog, Diagnostics& diagnostics,
                                bool lenient) {
  Target target;
  Reporter reporter(catalog.documents(), run.file, diagnostics);
  if (run.pipeline_spec) {
    target.spec = run.pipeline_spec;
    target.file = run.file;
    target.name = run.metadata.display();
  } else {
    if (!run.pipeline_ref.given()) return std::nullopt;  // reported when it was read
    const Pipeline* pipeline = catalog.find_pipeline(run.pipeline_ref, reporter, diagnostics, lenient);
    if (pipeline == nullptr) return std::nullopt;
    target = target_of(*pipeline);
  }
  target.run_prefix = prefix_of(run.metadata);
  target.run_file = run.file;
  target.run_at = run.at;
  target.params = run.params;
  add_resource_params(catalog.documents(), *target.spec, run.resources, reporter, lenient, target.params);
  target.workspaces = run.workspaces;
  target.timeouts = run.timeouts;
  return target;
}

std::optional<Target> target_of(const TaskRun& run, Catalog& catalog, Diagnostics& diagnostics,
                                bool lenient) {
  Target target;
  target.kind = Plan::Kind::Task;
  Reporter reporter(catalog.documents(), run.file, diagnostics);
  if (run.task_spec) {
    target.inline_task = true;
    target.spec = wrap(task_name_for(run.metadata.display()), run.task_spec, run.timeout, run.retries);
    target.file = run.file;
    target.name = run.metadata.display();
  } else {
    if (!run.task_ref.given()) return std::nullopt;
    const Task* task = catalog.find_task(run.task_ref, reporter, diagnostics, lenient);
    if (task == nullptr) return std::nullopt;
    target.name = task->metadata.name;
    target.file = task->file;
    target.spec = wrap(task_name_for(task->metadata.name.value), task->spec, run.timeout, run.retries);
  }
  target.run_prefix = prefix_of(run.metadata);
  target.run_file = run.file;
  target.run_at = run.at;
  target.params = run.params;
  add_resource_params(catalog.documents(), *target.spec, run.resources, reporter, lenient, target.params);
  target.workspaces = run.workspaces;
  return target;
}

std::optional<Target> select(Catalog& catalog, const RunRequest& request, Diagnostics& diagnostics) {
  const Documents& documents = catalog.documents();
  const std::string first_file = documents.sources.empty() ? "" : documents.sources.begin()->first;
  const auto fail = [&](std::string message, std::string hint) -> std::optional<Target> {
    diagnostics.push_back({Severity::Error, first_file, {}, std::move(message), std::move(hint)});
    return std::nullopt;
  };
  if (!request.target.empty()) {
    const PipelineRun* only_run = nullptr;
    size_t runs = 0;
    for (const PipelineRun& run : documents.pipeline_runs) {
      if (run.metadata.name.value == request.target || run.metadata.display() == request.target)
        return target_of(run, catalog, diagnostics, false);
      if (run.pipeline_ref.name.value == request.target && ++runs > 0) only_run = &run;
    }
    if (runs == 1) return target_of(*only_run, catalog, diagnostics, false);
    if (const Pipeline* pipeline = documents.pipeline(request.target)) return target_of(*pipeline);
    for (const TaskRun& run : documents.task_runs)
      if (run.metadata.name.value == request.target || run.metadata.display() == request.target)
        return target_of(run, catalog, diagnostics, false);
    if (const Task* task = catalog.task(request.target)) return target_of(*task);
    std::vector<std::string> known = catalog.pipeline_names();
    for (auto more : {names(documents.pipeline_runs), names(documents.task_runs), catalog.task_names()})
      known.insert(known.end(), more.begin(), more.end());
    const std::string near = did_you_mean(request.target, known);
    return fail("nothing named \"" + request.target + "\" is among the documents loaded",
                near.empty() ? "there are: " + list_of(known) : near);
  }

  std::vector<std::string> runs = names(documents.pipeline_runs);
  for (const std::string& name : names(documents.task_runs)) runs.push_back(name);
  if (runs.size() > 1)
    return fail("several runs to choose from: " + list_of(runs), "choose one: --pipeline " + runs.front());
  if (!documents.pipeline_runs.empty())
    return target_of(documents.pipeline_runs.front(), catalog, diagnostics, false);
  if (!documents.task_runs.empty())
    return target_of(documents.task_runs.front(), catalog, diagnostics, false);
  const std::vector<std::string> pipelines = catalog.pipeline_names();
  if (pipelines.size() > 1)
    return fail("several pipelines to choose from: " + list_of(pipelines),
                "choose one: --pipeline " + pipelines.front());
  if (pipelines.size() == 1) return target_of(documents.pipelines.front());
  if (documents.tasks.size() > 1)
    return fail("several tasks and no pipeline: " + list_of(catalog.task_names()),
                "choose one: --pipeline " + documents.tasks.front().metadata.name.value);
  if (documents.tasks.size() == 1) return target_of(documents.tasks.front());
  if (has_errors(diagnostics)) return std::nullopt;  // why nothing was read has been said
  return fail("there is no Pipeline, PipelineRun, Task or TaskRun here",
              "these have `apiVersion: tekton.dev/v1`");
}

}  // namespace kiln::dag
