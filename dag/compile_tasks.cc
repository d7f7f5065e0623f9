#include <array>

#include "base/text.h"
#include "dag/compiler.h"
#include "dag/fields.h"

namespace kiln::dag {
namespace {

std::string join_path(const std::string& a, const std::string& b) {
  return a.empty() ? b : b.empty() ? a : a + "/" + b;
}

// Names of workspaces that a spec mentions as $(workspaces.NAME.…).
std::set<std::string> mentioned_workspaces(const TaskSpec& spec) {
  std::set<std::string> out;
  for_each_text(spec, [&](std::string_view text, Position, ArrayUse) {
    if (!may_have_variables(text)) return;
    for (const Variable& variable : find_variables(text))
      if (variable.reference.path[0] == "workspaces") out.insert(variable.reference.path[1]);
  });
  return out;
}

}  // namespace

void Compiler::plan_tasks() {
  plan_.tasks.reserve(target_.spec->tasks.size() + target_.spec->finally.size());
  if (target_.spec->tasks.empty())
    reporter_.error(target_.spec->at, "missing field(s): tasks", "a pipeline needs at least one task");
  for (const PipelineTask& task : target_.spec->tasks) plan_task(task, false);
  plan_.dag_size = plan_.tasks.size();
  for (const PipelineTask& task : target_.spec->finally) plan_task(task, true);
}

void Compiler::plan_task(const PipelineTask& from, bool is_finally) {
  PlannedTask task;
  task.name = from.name;
  task.display_name = from.display_name;
  task.is_finally = is_finally;
  task.file = target_.file;
  task.at = from.name.at.line > 0 ? from.name.at : from.at;
  if (!from.name.empty() && !is_dns_label(from.name.value))
    reporter_.error(from.name.at,
                    "invalid value \"" + from.name.value + "\": Pipeline Task name must be a valid DNS Label",
                    "lower-case letters, digits and `-`, at most 63");
  if (!index_.emplace(task.name, plan_.tasks.size()).second) {
    reporter_.error(
        from.name.at,
        "task " + task.name + " is already present in Graph, can't add it again: duplicate pipeline task");
    return;
  }
  choose_spec(from, task);
  check_task_params(from, task);
  check_when(from);
  bind_workspaces(from, task);
  task.retries = from.retries;
  Text timeout = from.timeout;
  timeout.value = substitute(timeout.value, param_values_);
  task.timeout = check_duration(timeout, std::chrono::hours(1), reporter_);
  const std::string on_error = substitute(from.on_error.value, param_values_);
  task.continue_on_error = on_error == "continue";
  if (!on_error.empty() && on_error != "continue" && on_error != "stopAndFail" &&
      !may_have_variables(on_error))
    reporter_.error(from.on_error.at,
                    "invalid value: \"" + on_error +
                        "\": PipelineTask onError must be either \"continue\" or \"stopAndFail\"",
                    did_you_mean(on_error, {"continue", "stopAndFail"}));
  if (task.continue_on_error && from.retries > 0)
    reporter_.error(from.on_error.at,
                    "PipelineTask OnError cannot be set to \"continue\" when Retries is greater than 0");
  if (is_finally && !from.run_after.empty())
    reporter_.error(
        from.run_after.front().at,
        "no runAfter allowed under spec.finally, final task " + task.name + " has runAfter specified",
        "finally tasks all start together, when everything else has ended");
  plan_.tasks.push_back(std::move(task));
  from_.push_back(&from);
}

bool Compiler::choose_spec(const PipelineTask& from, PlannedTask& task) {
  const bool nested = from.pipeline_ref.line > 0;
  const int given = (from.task_ref.given() ? 1 : 0) + (from.task_spec ? 1 : 0) + (nested ? 1 : 0);
  if (given != 1) {
    reporter_.error(
        task.at,
        std::string("expected exactly one, got ") + (given == 0 ? "neither" : "both") + ": taskRef, taskSpec",
        given == 0 ? "say which Task `" + task.name + "` runs" : "");
    return false;
  }
  if (!lenient_) {
    if (nested) reporter_.error(from.pipeline_ref, "a pipeline inside a pipeline cannot be run yet");
    if (from.matrix.line > 0)
      reporter_.error(from.matrix, "`matrix` cannot be run yet", "write the tasks out");
  }
  if (nested) return false;
  if (from.task_spec) {
    task.spec = from.task_spec;
    task.inline_spec = target_.kind == Plan::Kind::Pipeline || target_.inline_task;
    if (!task.inline_spec) task.task_name = target_.name;
    ParamScope scope;
    if (task.inline_spec) {
      scope = pipeline_scope_;
      for (const Param& param : from.params)
        scope[param.name.value] = {type_of(param.value).value_or(ParamType::String), {}, true};
    }
    declare(scope, task.spec->params);
    check_task_spec(*task.spec, scope, catalog_.documents(), reporter_);
    task.spec = bind_step_actions(task.spec, catalog_.documents());
    if (!lenient_) refuse_unsupported(*task.spec, reporter_);
    return true;
  }
  const std::string& api = from.task_ref.api_version.value;
  if (!api.empty() && !api.starts_with("tekton.dev/")) {
    if (!lenient_)
      reporter_.error(from.task_ref.api_version.at,
                      "a custom task (" + api + " " + from.task_ref.kind.value + ") cannot be run yet");
    return false;
  }
  const Task* found = catalog_.find_task(from.task_ref, reporter_, diagnostics_, lenient_);
  if (found == nullptr) return false;
  task.spec = bind_step_actions(found->spec, catalog_.documents());
  task.task_name = found->metadata.name;
  if (checked_.emplace(found->spec.get(), true).second) {
    Reporter reporter(catalog_.documents(), found->file, diagnostics_);
    ParamScope scope;
    declare(scope, found->spec->params);
    check_task_spec(*found->spec, scope, catalog_.documents(), reporter);
    if (!lenient_) refuse_unsupported(*found->spec, reporter);
  }
  return true;
}

std::optional<ParamType> Compiler::type_of(const ParamValue& value) const {
  if (value.type != ParamType::String) return value.type;
  const std::vector<Variable> variables = find_variables(value.text);
  if (variables.size() != 1 || variables[0].begin != 0 || variables[0].end != value.text.size())
    return ParamType::String;
  const Reference& reference = variables[0].reference;
  if (reference.path[0] == "tasks") return std::nullopt;  // the producer decides; checked at run time
  if (reference.path[0] != "params" || reference.path.size() != 2 ||
      reference.suffix == Reference::Suffix::Index)
    return ParamType::String;
  const auto known = pipeline_scope_.find(reference.path[1]);
  if (known == pipeline_scope_.end()) return std::nullopt;
  return known->second.type;
}

void Compiler::check_task_params(const PipelineTask& from, PlannedTask& task) {
  for (const Param& param : from.params) {
    for_each_text(param, [&](std::string_view text, Position at, ArrayUse arrays) {
      check_pipeline_text(text, at, arrays, reporter_);
    });
    task.params.push_back({param.name, substitute_value(param.value, param_values_), param.at});
  }
  if (!task.spec) return;
  std::vector<std::string> declared, missing;
  for (const ParamSpec& spec : task.spec->params) {
    declared.push_back(spec.name);
    const auto given =
        std::ranges::find_if(from.params, [&](const Param& p) { return p.name.value == spec.name.value; });
    if (given == from.params.end()) {
      if (!spec.default_value && !(task.inline_spec && pipeline_scope_.contains(spec.name.value)))
        missing.push_back(spec.name);
      continue;
    }
    const auto type = type_of(given->value);
    if (!type) continue;
    const Param& value =
        *std::ranges::find_if(task.params, [&](const Param& p) { return p.name.value == spec.name.value; });
    if (*type != spec.type)
      reporter_.error(
          given->at,
          "param types don't match the user-specified type: [" + spec.name.value + "]: Task declares " +
              std::string(to_string(spec.type)) + ", " + std::string(to_string(*type)) + " is given",
          *type == ParamType::String && spec.type == ParamType::Array ? "an array is a list: [\"…\"]" : "");
    else if (value.value.type == spec.type && target_.kind == Plan::Kind::Pipeline)
      check_value(spec, value, reporter_);
  }
  if (!missing.empty() && !from.matrix.line)
    reporter_.error(task.at,
                    "pipeline task \"" + task.name +
                        "\": missing values for these params which have no default values: [" +
                        join(missing, " ") + "]",
                    "add under its `params`: {name: " + missing.front() + ", value: …}");
  if (!task.inline_spec)
    for (const Param& param : from.params)
      if (std::ranges::find(declared, param.name.value) == declared.end())
        reporter_.warn(param.name.at,
                       "Task `" + task.task_name + "` declares no param `" + param.name.value + "`",
                       did_you_mean(param.name.value, declared));
}

void Compiler::check_when(const PipelineTask& from) {
  for (const When& when : from.when) {
    if (!when.cel.empty() && !lenient_)
      reporter_.error(when.cel.at, "`cel` cannot be run yet", "use input, operator and values");
    check_pipeline_text(when.input.value, when.input.at, ArrayUse::Never, reporter_);
    for (const Text& value : when.values)
      check_pipeline_text(value.value, value.at, ArrayUse::Alone, reporter_);
  }
}

// Texts of the pipeline itself: only what a pipeline knows may be referred to.
void Compiler::check_pipeline_text(std::string_view text, Position at, ArrayUse arrays, Reporter& reporter) {
  if (!may_have_variables(text)) return;
  reporter.check_params(text, at, pipeline_scope_, arrays);
  constexpr std::array<std::string_view, 6> kRoots{"params",  "tasks",      "finally",
                                                   "context", "workspaces", "credentials"};
  static const std::vector<std::string> kContext{
      "pipelineRun.name", "pipelineRun.namespace", "pipelineRun.uid", "pipeline.name", "pipelineTask.retries",
      "taskRun.name",     "taskRun.namespace",     "taskRun.uid",     "task.name",     "task.retry-count"};
  for (const Variable& variable : find_variables(text)) {
    const auto& path = variable.reference.path;
    const std::string written(text.substr(variable.begin, variable.end - variable.begin));
    if (std::ranges::find(kRoots, path[0]) == kRoots.end()) {
      reporter.error(reporter.find(at, written), "non-existent variable in \"" + written + "\"",
                     did_you_mean(path[0], {"params", "tasks", "context", "workspaces"}));
    } else if (path[0] == "context") {
      std::string name = path[1];
      for (size_t i = 2; i < path.size(); ++i) name += "." + path[i];
      if (std::ranges::find(kContext, name) == kContext.end())
        reporter.error(reporter.find(at, written), "non-existent variable in \"" + written + "\"",
                       did_you_mean(name, kContext));
    }
  }
}

void Compiler::bind_workspaces(const PipelineTask& from, PlannedTask& task) {
  const auto binding_of = [&](const std::string& name) -> const WorkspaceBinding* {
    for (const WorkspaceBinding& binding : plan_.workspaces)
      if (binding.name.value == name) return &binding;
    return nullptr;
  };
  const auto declared_in_pipeline = [&](const std::string& name) {
    return std::ranges::any_of(target_.spec->workspaces, [&](const auto& w) { return w.name.value == name; });
  };
  const auto bind = [&](const WorkspaceDeclaration& declaration, const std::string& pipeline_name,
                        const Text& sub_path) {
    TaskWorkspace workspace;
    workspace.declaration = declaration;
    if (const WorkspaceBinding* binding = binding_of(pipeline_name)) {
      workspace.binding = *binding;
      workspace.binding.sub_path.value =
          join_path(binding->sub_path.value, substitute(sub_path.value, param_values_));
    } else {
      workspace.bound = false;
    }
    task.workspaces.push_back(std::move(workspace));
  };

  std::vector<std::string> declared;
  if (task.spec)
    for (const WorkspaceDeclaration& workspace : task.spec->workspaces) declared.push_back(workspace.name);
  for (const WorkspacePipelineTaskBinding& use : from.workspaces) {
    if (!declared_in_pipeline(use.workspace) && binding_of(use.workspace) == nullptr) {
      std::vector<std::string> known;
      for (const auto& workspace : target_.spec->workspaces) known.push_back(workspace.name);
      const std::string near = did_you_mean(use.workspace.value, known);
      reporter_.error(use.workspace.at,
                      "pipeline task \"" + task.name + "\" expects workspace with name \"" +
                          use.workspace.value + "\" but none exists in pipeline spec",
                      near.empty() ? "declare it under the pipeline's `workspaces`" : near);
      continue;
    }
    if (task.spec && !task.inline_spec && std::ranges::find(declared, use.name.value) == declared.end())
      reporter_.warn(use.name.at,
                     "Task `" + task.task_name + "` declares no workspace `" + use.name.value + "`",
                     did_you_mean(use.name.value, declared));
  }
  if (!task.spec) return;
  for (const WorkspaceDeclaration& declaration : task.spec->workspaces) {
    const auto use = std::ranges::find_if(
        from.workspaces, [&](const auto& w) { return w.name.value == declaration.name.value; });
    if (use != from.workspaces.end()) {
      bind(declaration, use->workspace, use->sub_path);
      const auto outer = std::ranges::find_if(
          target_.spec->workspaces, [&](const auto& w) { return w.name.value == use->workspace.value; });
      if (outer != target_.spec->workspaces.end() && outer->optional && !declaration.optional)
        reporter_.error(use->name.at, "pipeline workspace \"" + use->workspace.value +
                                          "\" is marked optional but pipeline task \"" + task.name +
                                          "\" requires it be provided");
    } else if (task.inline_spec && binding_of(declaration.name) != nullptr) {
      bind(declaration, declaration.name, {});  // propagated
    } else if (declaration.optional) {
      bind(declaration, "", {});
    } else {
      reporter_.error(task.at,
                      "pipeline task \"" + task.name + "\": declared workspace \"" + declaration.name.value +
                          "\" is required but has not been bound",
                      "add under its `workspaces`: {name: " + declaration.name.value + ", workspace: …}");
    }
  }
  if (!task.inline_spec) return;
  const std::set<std::string> mentioned = mentioned_workspaces(*task.spec);
  for (const std::string& name : mentioned) {
    if (std::ranges::find(declared, name) != declared.end()) continue;
    const auto use =
        std::ranges::find_if(from.workspaces, [&](const auto& w) { return w.name.value == name; });
    const std::string outer = use == from.workspaces.end() ? name : use->workspace.value;
    if (binding_of(outer) == nullptr && !declared_in_pipeline(outer))
      continue;  // stays literal, as in Tekton
    WorkspaceDeclaration declaration;
    declaration.name = {name, task.at};
    declaration.optional = binding_of(outer) == nullptr;
    bind(declaration, outer, use == from.workspaces.end() ? Text{} : use->sub_path);
  }
}

}  // namespace kiln::dag
