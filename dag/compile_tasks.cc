#include "base/text.h"
#include "dag/compiler.h"
#include "dag/fields.h"
#include "dag/params.h"

namespace kiln::dag {
namespace {

// Whatever is not one of Tekton's own is run by somebody else.
bool is_custom(const Ref& ref) {
  const std::string& api = ref.api_version.value;
  const std::string& kind = ref.kind.value;
  return (!api.empty() && !api.starts_with("tekton.dev/")) ||
         (!kind.empty() && kind != "Task" && kind != "ClusterTask");
}

}  // namespace

void Compiler::plan_tasks() {
  plan_.tasks.reserve(target_.spec->tasks.size() + target_.spec->finally.size());
  if (target_.spec->tasks.empty()) report_no_tasks();
  for (const PipelineTask& task : target_.spec->tasks) plan_task(task, false);
  plan_.dag_size = plan_.tasks.size();
  for (const PipelineTask& task : target_.spec->finally) plan_task(task, true);
}

// Tekton takes a Pipeline without tasks, as long as it says anything at all; nothing of it can run.
void Compiler::report_no_tasks() {
  const PipelineSpec& spec = *target_.spec;
  if (spec.unreadable) return;
  const std::string hint = "a pipeline needs at least one task: tasks: [{name: …, taskRef: {name: …}}]";
  if (!spec.finally.empty())
    reporter_.error(
        spec.at, "spec.tasks is empty but spec.finally has " + std::to_string(spec.finally.size()) + " tasks",
        hint);
  else if (lenient_.values && !(spec.params.empty() && spec.workspaces.empty() && spec.description.empty()))
    reporter_.warn(spec.at, "missing field(s): tasks", hint);
  else
    reporter_.error(spec.at, "missing field(s): tasks", hint);
}

void Compiler::plan_task(const PipelineTask& from, bool is_finally) {
  PlannedTask task;
  task.name = from.name;
  task.is_finally = is_finally;
  task.file = target_.file;
  task.at = from.name.at.line > 0 ? from.name.at : from.at;
  if (!from.name.empty() && !is_dns_label(from.name.value))
    reporter_.error(from.name.at,
                    "invalid value \"" + from.name.value + "\": Pipeline Task name must be a valid DNS Label",
                    "lower-case letters, digits and `-`, at most 63");
  if (const auto [other, fresh] = index_.emplace(task.name, plan_.tasks.size()); !fresh) {
    if (!from.name.empty())
      reporter_.error(
          from.name.at,
          "task " + task.name + " is already present in Graph, can't add it again: duplicate pipeline task",
          "the other is on line " + std::to_string(plan_.tasks[other->second].at.line));
    return;
  }
  Signature signature;
  catalog_.spend(1);
  choose_spec(from, task, signature);
  if (task.spec) catalog_.spend(*task.spec);
  check_task_params(from, task, signature);
  check_matrix(from, task);
  check_items(from, task);
  check_when(from, task);
  bind_actions(task);
  bind_workspaces(from, task, signature);
  decide_task_settings(from, task);
  task.display_name = substitute(from.display_name, param_values_);
  task.retries = from.retries;
  check_on_error(from, task);
  if (is_finally && !from.run_after.empty())
    reporter_.error(
        from.run_after.front().at,
        "no runAfter allowed under spec.finally, final task " + task.name + " has runAfter specified",
        "finally tasks all start together, when everything else has ended");
  plan_.tasks.push_back(std::move(task));
  from_.push_back(&from);
}

void Compiler::check_on_error(const PipelineTask& from, PlannedTask& task) {
  const std::string on_error = substitute(from.on_error.value, param_values_);
  task.continue_on_error = on_error == "continue";
  if (!on_error.empty() && on_error != "continue" && on_error != "stopAndFail" &&
      !may_have_variables(on_error))
    reporter_.error(from.on_error.at,
                    "invalid value: \"" + on_error +
                        "\": PipelineTask onError must be either \"continue\" or \"stopAndFail\"",
                    on_error_hint(on_error));
  if (task.continue_on_error && from.retries > 0)
    reporter_.error(from.on_error.at,
                    "PipelineTask OnError cannot be set to \"continue\" when Retries is greater than 0",
                    "leave out `onError` or `retries`");
}

void Compiler::choose_spec(const PipelineTask& from, PlannedTask& task, Signature& signature) {
  const bool custom_spec = from.custom_spec.has_value();
  const int given = (from.task_ref.given() ? 1 : 0) + (from.task_spec || custom_spec ? 1 : 0) +
                    (from.pipeline_ref.given() ? 1 : 0) + (from.pipeline_spec ? 1 : 0);
  if (given == 0) {
    if (from.kinds.empty())
      reporter_.error(task.at,
                      "expected exactly one, got neither: taskRef, taskSpec, pipelineRef, pipelineSpec",
                      "say which Task `" + task.name + "` runs: taskRef: {name: …}");
    return;
  }
  if (given > 1) {
    std::vector<std::string> kinds;
    Position last = task.at;
    for (const Text& kind : from.kinds) {
      kinds.push_back(kind);
      last = std::max(last, kind.at);
    }
    reporter_.error(last,
                    std::string("expected exactly one, got ") + (given == 2 ? "both" : "multiple") + ": " +
                        join(kinds, ", "),
                    "keep one of them");
    return;
  }
  if (from.task_spec)
    choose_inline(from, task);
  else if (from.pipeline_spec || from.pipeline_ref.given())
    choose_pipeline(from, task);
  else if (custom_spec || is_custom(from.task_ref))
    choose_custom(from, task);
  else
    choose_task(from, task);
  if (task.spec) {
    signature = {task.inline_spec ? "inline Task" : "Task `" + task.task_name + "`", &task.spec->params,
                 &task.spec->workspaces};
  } else if (task.pipeline) {
    signature = {task.inline_spec ? "inline Pipeline" : "Pipeline `" + task.task_name + "`",
                 &task.pipeline->declared_params, &task.pipeline->declared_workspaces};
  }
}

// What of the pipeline reaches into an inline spec: its params, and under them those passed.
ParamScope Compiler::propagated(const PipelineTask& from) const {
  ParamScope scope(&pipeline_scope_);
  const auto pass = [&](const Param& param, ParamType type) {
    scope.set(param.name.value, {type, {}, true});
  };
  for (const Param& param : from.params) pass(param, type_of(param.value).value_or(ParamType::String));
  if (from.matrix) {
    for (const Param& param : from.matrix->params) pass(param, ParamType::String);
    for (const MatrixInclude& include : from.matrix->include)
      for (const Param& param : include.params) pass(param, ParamType::String);
  }
  return scope;
}

void Compiler::choose_inline(const PipelineTask& from, PlannedTask& task) {
  task.spec = from.task_spec;
  task.spec_file = target_.file;
  task.inline_spec = target_.kind == Plan::Kind::Pipeline || target_.inline_task;
  if (!task.inline_spec) task.task_name = target_.name;
  if (!task.inline_spec && !catalog_.first_check(*task.spec)) return;
  ParamScope scope;
  if (task.inline_spec) scope = propagated(from);
  scope.declare(task.spec->params);
  check_task_spec(*task.spec, scope, task.inline_spec, reporter_);
}

void Compiler::choose_task(const PipelineTask& from, PlannedTask& task) {
  const Task* found =
      catalog_.find_task(substitute_ref(from.task_ref, param_values_), reporter_, diagnostics_, lenient_);
  if (found == nullptr) return;
  task.spec = found->spec;
  task.spec_file = found->file;
  task.task_name = found->metadata.name;
  task.annotations = found->metadata.annotations;
  if (!catalog_.first_check(*found->spec)) return;
  Reporter reporter(catalog_.documents(), found->file, diagnostics_);
  ParamScope scope;
  scope.declare(found->spec->params);
  check_task_spec(*found->spec, scope, false, reporter);
}

void Compiler::choose_custom(const PipelineTask& from, PlannedTask& task) {
  task.kind = PlannedTask::Kind::Custom;
  CustomTask custom;
  if (from.custom_spec) {
    custom = {from.custom_spec->api_version, from.custom_spec->kind, "", from.custom_spec->json};
    task.inline_spec = true;
  } else {
    custom = {from.task_ref.api_version, from.task_ref.kind,
              substitute(from.task_ref.name.value, param_values_), ""};
    task.task_name = custom.name;
  }
  const std::string what = std::string("custom task ") + (from.custom_spec ? "spec" : "ref");
  const Text& api_text = from.custom_spec ? from.custom_spec->api_version : from.task_ref.api_version;
  const Text& kind_text = from.custom_spec ? from.custom_spec->kind : from.task_ref.kind;
  const std::string& api = custom.api_version;
  const bool told = target_.kind == Plan::Kind::CustomRun;  // its decoder did
  if (api.empty()) {
    const std::string near = did_you_mean(custom.kind, {"Task", "ClusterTask"});
    if (!told)
      reporter_.error(kind_text.at, "invalid value: " + what + " must specify apiVersion",
                      near.empty() ? "add the apiVersion of the controller that runs a " + custom.kind +
                                         ", like example.dev/v1; for a Task leave `kind` out"
                                   : near);
  } else if (api.find('/') == std::string::npos || api.starts_with('/') || api.ends_with('/')) {
    reporter_.error(
        api_text.at,
        "invalid value: invalid apiVersion format \"" + api + "\", must be in the format \"group/version\"",
        "for example example.dev/v1");
  }
  if (custom.kind.empty() && !told)
    reporter_.error(api_text.at, "invalid value: " + what + " must specify kind",
                    "add the kind that the controller of " + api + " runs");
  task.custom = std::move(custom);
}

void Compiler::choose_pipeline(const PipelineTask& from, PlannedTask& task) {
  task.kind = PlannedTask::Kind::Pipeline;
  catalog_.spend(4);
  task.inline_spec = from.pipeline_spec != nullptr;
  std::optional<Target> inner = nested_target(target_, from, catalog_, param_values_, diagnostics_, lenient_);
  if (!inner) return;
  const ParamScope outer = propagated(from);
  if (task.inline_spec) {
    inner->outer_params = &outer;
    inner->workspaces = plan_.workspaces;
  } else {
    task.task_name = inner->name;
  }
  task.spec_file = inner->file;
  // Its params are known when it starts; what is wrong with it whatever they are is known now.
  Diagnostics found;
  const RunRequest nothing;
  task.pipeline = std::make_shared<Plan>(
      Compiler(catalog_, *inner, nothing, found, {.names = lenient_.names, .values = true}).run());
  diagnostics_.insert(diagnostics_.end(), found.begin(), found.end());
}

// Step `ref`s become the StepActions they mean. Their resolver params may use the task's.
void Compiler::bind_actions(PlannedTask& task) {
  const auto refers = [](const Step& step) { return step.ref.given(); };
  if (!task.spec || std::ranges::none_of(task.spec->steps, refers)) return;
  Variables params = task.inline_spec ? param_values_ : Variables{};
  set_params(params, evaluate_params(task.spec->params, task.params));
  Reporter reporter(catalog_.documents(), task.spec_file, diagnostics_);
  auto bound = std::make_shared<TaskSpec>(*task.spec);
  std::unordered_map<const StepAction*, std::shared_ptr<const StepAction>> actions;
  for (Step& step : bound->steps) {
    if (!refers(step)) continue;
    const StepAction* action =
        catalog_.find_step_action(substitute_ref(step.ref, params), reporter, diagnostics_, lenient_);
    if (action == nullptr) continue;
    catalog_.spend(1 + action->params.size() / 4);
    check_action_params(step, *action, reporter);
    const auto [known, fresh] = actions.try_emplace(action);
    if (fresh) known->second = std::make_shared<StepAction>(*action);
    step.action = known->second;
    if (!fresh) continue;  // checked already
    Reporter of_action(catalog_.documents(), action->file, diagnostics_);
    check_step_action(*action, of_action);
  }
  task.spec = std::move(bound);
}

}  // namespace kiln::dag
