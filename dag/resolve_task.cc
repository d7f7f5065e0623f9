#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "base/text.h"
#include "dag/claim_name.h"
#include "dag/params.h"
#include "dag/run_variables.h"
#include "dag/step_template.h"
#include "dag/texts.h"

namespace kiln::dag {
namespace {

// A param of an action that stands for a whole result of an earlier step, known when the step starts: what
// the action says of the param's items and keys, it says of the result's.
struct ResultParam {
  const std::string& name;
  std::string result;  // steps.STEP.results.RESULT

  void operator()(Text& text) const {
    std::string out;
    size_t copied = 0;
    for (const Variable& variable : find_variables(text.value)) {
      const Reference& reference = variable.reference;
      if (reference.path[0] != "params" || reference.path[1] != name) continue;
      std::string part;
      if (reference.suffix == Reference::Suffix::Index)
        part = "[" + std::to_string(reference.index) + "]";
      else if (reference.path.size() == 3)
        part = "['" + reference.path[2] + "']";
      else
        continue;
      out += text.value.substr(copied, variable.begin - copied) + "$(" + result + part + ")";
      copied = variable.end;
    }
    if (copied > 0) text.value = out + text.value.substr(copied);
  }
  void operator()(std::vector<Text>& list) const {
    for (Text& text : list) (*this)(text);
  }
  void operator()(ParamValue&, Position) const {}
};

// "steps.STEP.results.RESULT" when that is all the value refers to; else "".
std::string step_result_of(const ParamValue& value) {
  const std::vector<Variable> found = find_variables(value.text);
  if (found.size() != 1 || found[0].begin != 0 || found[0].end != value.text.size()) return {};
  const std::vector<std::string>& path = found[0].reference.path;
  if (path.size() != 4 || path[0] != "steps" || path[2] != "results") return {};
  return "steps." + path[1] + ".results." + path[3];
}

// A step with `ref` becomes what its StepAction says, under the action's own params.
void apply_action(Step& step, const Variables& task_params, const Variables& contexts) {
  const StepAction& action = *step.action;
  std::vector<Param> given;
  for (const Param& param : step.params)
    given.push_back(
        {param.name, substitute_value(substitute_value(param.value, task_params), contexts), param.at});
  Step body = action.step;
  for (const Param& param : given)
    if (const std::string result = step_result_of(param.value); !result.empty()) {
      const ResultParam rename{param.name.value, result};
      visit_step(body, rename);
    }
  // What turns out to be no object leaves the keys of the default as they are.
  std::erase_if(given, [&](const Param& param) {
    return param.value.type != ParamType::Object && step_result_of(param.value).empty() &&
           std::ranges::any_of(action.params, [&](const ParamSpec& spec) {
             return spec.name.value == param.name.value && spec.type == ParamType::Object &&
                    spec.default_value;
           });
  });
  Variables params;
  set_params(params, evaluate_params(action.params, given));
  substitute_step(body, params);
  if (!body.image.empty()) step.image = std::move(body.image);
  step.script = std::move(body.script);
  step.command = std::move(body.command);
  step.args = std::move(body.args);
  step.working_dir = std::move(body.working_dir);
  step.env = std::move(body.env);
  step.volume_mounts = std::move(body.volume_mounts);
  merge_security(body.security, step.security);
  step.security = body.security;
  step.results = std::move(body.results);
  step.params.clear();
}

// Paths that are the same for every step of the task.
Variables task_paths(const ResolvedTask& task, std::string_view run_uid) {
  Variables out;
  for (const ResultSpec& result : task.spec.results)
    out.set("results", result.name.value, "path", "/tekton/results/" + result.name.value);
  for (const Step& step : task.spec.steps)
    out.set({"steps", "step-" + step.name.value, "exitCode", "path"},
            ParamValue::string("/tekton/steps/step-" + step.name.value + "/exitCode"));
  for (const TaskWorkspace& workspace : task.workspaces) {
    const std::string& name = workspace.declaration.name;
    out.set("workspaces", name, "path", workspace.path());
    out.set("workspaces", name, "bound", workspace.bound ? "true" : "false");
    out.set("workspaces", name, "claim", workspace.bound ? claim_name(workspace.binding, run_uid) : "");
    out.set("workspaces", name, "volume", workspace.bound ? "ws-" + name : "");
  }
  out.set("credentials", "path", ParamValue::string("/tekton/creds"));
  out.set("artifacts", "path", ParamValue::string("/tekton/artifacts/provenance.json"));
  return out;
}

// And those of its own that a step or sidecar sees: isolated workspaces may be mounted elsewhere.
void add_usages(Variables& out, const Container& container) {
  for (const WorkspaceUsage& usage : container.workspaces)
    if (!usage.mount_path.empty()) out.set("workspaces", usage.name.value, "path", usage.mount_path.value);
}

void add_step_paths(Variables& out, const Step& step) {
  const std::string folder = "/tekton/steps/step-" + step.name.value;
  for (const ResultSpec& result : step.results)
    out.set({"step", "results", result.name.value, "path"},
            ParamValue::string(folder + "/results/" + result.name.value));
  out.set("step", "artifacts", "path", folder + "/artifacts/provenance.json");
  add_usages(out, step);
}

using Overrides = std::unordered_map<std::string_view, const ContainerOverride*>;

Overrides by_name(const std::vector<ContainerOverride>& overrides) {
  Overrides out;
  for (const ContainerOverride& one : overrides) out[one.name.value] = &one;
  return out;
}

// What the run says over the step's head: podTemplate's env wins, stepSpecs replaces resources.
void apply_settings(TaskSpec& spec, const TaskRunSettings& settings) {
  const auto apply = [&](Container& container, const Overrides& overrides) {
    override_env(container.env, settings.pod_template.env);
    if (const auto one = overrides.find(container.name.value); one != overrides.end())
      container.resources = one->second->resources;
  };
  const Overrides steps = by_name(settings.steps), sidecars = by_name(settings.sidecars);
  for (Step& step : spec.steps) {
    apply(step, steps);
    merge_security(step.security, settings.pod_template.security);
  }
  for (Sidecar& sidecar : spec.sidecars) {
    apply(sidecar, sidecars);
    merge_security(sidecar.security, settings.pod_template.security);
  }
  for (const Volume& volume : settings.pod_template.volumes) spec.volumes.push_back(volume);
}

class TaskResolution {
 public:
  TaskResolution(const Plan& plan, size_t index, const RunFacts& facts, const RunContext& context,
                 TaskRunIndex which)
      : plan_(plan),
        index_(index),
        task_(plan.tasks[index]),
        facts_(facts),
        context_(context),
        which_(which),
        outside_(plan, index, facts, context) {}

  ResolvedTask run() {
    out_.workspaces = task_.workspaces;
    if (task_.spec) out_.spec = *task_.spec;
    decide_params();
    decide_contexts();
    out_.problem = param_problem(contexts_.exact({"context", "task", "name"})->text, task_.declared_params(),
                                 out_.params, task_.spec.get(), lengths_);
    decide_display_name();
    place_workspaces();
    complete_steps();
    apply_settings(out_.spec, *task_.settings);
    put_values_in();
    return std::move(out_);
  }

 private:
  // What the pipeline passes, with contexts and results in it, over what propagates into an inline spec, over
  // defaults.
  void decide_params() {
    std::vector<Param> given;
    for (const Param& param : task_.params)
      given.push_back({param.name, substitute_value(param.value, outside_.facts_of(param)), param.at});
    if (which_.in_matrix) {
      for (Param& param : resolve_combination(plan_, index_, facts_, context_, *which_.in_matrix))
        given.push_back(std::move(param));
    }
    if (task_.inline_spec) {
      std::unordered_set<std::string> declared, passed;
      for (const ParamSpec& spec : task_.declared_params()) declared.insert(spec.name.value);
      for (const Param& param : given) passed.insert(param.name.value);
      for (const Param& param : plan_.params) {
        const ParamValue value = substitute_value(param.value, outside_.contexts());
        params_.set("params", param.name.value, value);
        note_length(lengths_, param.name, value);
        if (declared.contains(param.name.value) && passed.insert(param.name.value).second)
          given.push_back({param.name, value, param.at});
      }
    }
    out_.params = evaluate_params(task_.declared_params(), given, params_);
    set_params(params_, out_.params);
    for (const Param& param : out_.params) note_length(lengths_, param.name, param.value);
  }

  void decide_contexts() {
    add_contexts(contexts_, plan_, task_, context_);
    const std::string run = child_name(plan_, index_, context_.run_name, which_);
    contexts_.set("context", "taskRun", "name", run);
    contexts_.set("context", "taskRun", "namespace", context_.run_namespace);
    contexts_.set("context", "taskRun", "uid", child_uid(plan_, context_.run_uid, run));
    contexts_.set("context", "task", "name", task_.task_name.empty() ? run : task_.task_name);
    contexts_.set("context", "task", "retry-count", std::to_string(which_.attempt));
  }

  // The pipeline task's; of a matrix the names of the includes that this combination agrees with, if they
  // have any.
  void decide_display_name() {
    const auto put_in = [&](const std::string& text) {
      Variables results;
      outside_.add_facts(results, text);
      return substitute(substitute(substitute(text, params_), contexts_), results);
    };
    out_.display_name = put_in(task_.display_name);
    if (!which_.in_matrix) return;
    std::unordered_map<std::string_view, const ParamValue*> given;
    for (const Param& param : out_.params)
      if (!param.is_default) given.emplace(param.name.value, &param.value);
    std::vector<std::string> names;
    for (const MatrixInclude& include : task_.matrix->include) {
      const bool agrees = std::ranges::all_of(include.params, [&](const Param& param) {
        const auto found = given.find(param.name.value);
        return found != given.end() && found->second->type == ParamType::String &&
               found->second->text == put_in(param.value.text);
      });
      if (agrees && !include.name.empty()) names.push_back(put_in(include.name));
    }
    if (!names.empty()) out_.display_name = join(names, " ");
  }

  void place_workspaces() {
    for (TaskWorkspace& workspace : out_.workspaces)
      for (Text* text :
           {&workspace.declaration.mount_path, &workspace.binding.sub_path, &workspace.binding.source.name})
        text->value = substitute(substitute(text->value, params_), contexts_);
  }

  // A template is merged before anything is put in, so that both speak of the same variables.
  void complete_steps() {
    for (size_t i = 0; i < out_.spec.steps.size(); ++i) {
      Step& step = out_.spec.steps[i];
      step.name.value = step_name(step, i);
      if (step.action) apply_action(step, params_, contexts_);
      if (out_.spec.step_template) merge_template(step, *out_.spec.step_template);
    }
    out_.spec.step_template.reset();
  }

  // One pass each, in Tekton's order: params, contexts, results, then paths.
  void put_values_in() {
    const Variables paths = task_paths(out_, context_.run_uid);
    const auto put = [&](auto& object, const Variables& own_paths, const auto& substitute_in) {
      substitute_in(object, params_);
      substitute_in(object, contexts_);
      if (task_.inline_spec) {
        Variables results;
        for_each_text(object,
                      [&](std::string_view text, Position, ArrayUse) { outside_.add_facts(results, text); });
        if (!results.empty()) substitute_in(object, results);
      }
      substitute_in(object, own_paths);
    };
    for (Step& step : out_.spec.steps) {
      Variables own(&paths);
      add_step_paths(own, step);
      put(step, own, substitute_step);
    }
    for (Sidecar& sidecar : out_.spec.sidecars) {
      Variables own(&paths);
      add_usages(own, sidecar);
      put(sidecar, own, substitute_sidecar);
    }
    for (Volume& volume : out_.spec.volumes) put(volume, paths, substitute_volume);
  }

  const Plan& plan_;
  size_t index_;
  const PlannedTask& task_;
  const RunFacts& facts_;
  const RunContext& context_;
  TaskRunIndex which_;
  RunVariables outside_;
  ResolvedTask out_;
  Variables params_, contexts_;
  ArrayLengths lengths_;
};

}  // namespace

ResolvedTask resolve_task(const Plan& plan, size_t task, const RunFacts& facts, const RunContext& context,
                          TaskRunIndex which) {
  return TaskResolution(plan, task, facts, context, which).run();
}

}  // namespace kiln::dag
