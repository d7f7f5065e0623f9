#include "dag/resolve.h"

#include <algorithm>
#include <unordered_map>

#include "base/digest.h"
#include "dag/check_task.h"
#include "dag/params.h"

namespace kiln::dag {
namespace {

class NoFacts final : public RunFacts {
 public:
  const ParamValue* result(size_t, std::string_view) const override { return nullptr; }
  std::string_view status(size_t) const override { return {}; }
  std::string_view reason(size_t) const override { return {}; }
  std::string_view aggregate_status() const override { return {}; }
};

void add_context(Variables& out, const Plan& plan, const PlannedTask& task, const RunContext& context) {
  out.set("context", "pipelineRun", "name", context.run_name);
  out.set("context", "pipelineRun", "namespace", context.run_namespace);
  out.set("context", "pipelineRun", "uid", context.run_uid);
  out.set("context", "pipeline", "name", plan.name);
  out.set("context", "pipelineTask", "retries", std::to_string(task.retries));
}

// $(tasks.…) of exactly the references in `text`: looking them up one by one is cheaper than making a table
// of all results of all tasks for each task.
void add_facts(Variables& out, const Plan& plan, const RunFacts& facts, std::string_view text,
               const std::function<size_t(std::string_view)>& index_of) {
  if (!may_have_variables(text)) return;
  for (const Variable& variable : find_variables(text)) {
    const auto& path = variable.reference.path;
    if (path[0] != "tasks" && path[0] != "finally") continue;
    if (path.size() == 2) {
      if (const auto status = facts.aggregate_status(); path[1] == "status" && !status.empty())
        out.set("tasks", "status", ParamValue::string(std::string(status)));
      continue;
    }
    const size_t task = index_of(path[1]);
    if (task >= plan.tasks.size()) continue;
    if (path.size() == 3 && (path[2] == "status" || path[2] == "reason")) {
      const std::string_view word = path[2] == "status" ? facts.status(task) : facts.reason(task);
      if (!facts.aggregate_status().empty()) out.set("tasks", path[1], path[2], word);
    } else if (path.size() >= 4 && path[2] == "results") {
      if (const ParamValue* value = facts.result(task, path[3]))
        out.set({path[0], path[1], path[2], path[3]}, *value);
    }
  }
}

// Task indices by name, for the few tasks that one task refers to.
size_t index_in(const Plan& plan, const PlannedTask& task, std::string_view name) {
  for (const ResultUse& use : task.uses)
    if (plan.tasks[use.task].name == name) return use.task;
  for (size_t i = 0; i < plan.tasks.size(); ++i)  // statuses, in finally tasks
    if (plan.tasks[i].name == name) return i;
  return plan.tasks.size();
}

void merge_step(Step& step, const Step& base) {
  const auto inherit = [](Text& mine, const Text& theirs) {
    if (mine.empty()) mine = theirs;
  };
  inherit(step.image, base.image);
  inherit(step.working_dir, base.working_dir);
  inherit(step.image_pull_policy, base.image_pull_policy);
  inherit(step.resources.cpu_limit, base.resources.cpu_limit);
  inherit(step.resources.memory_limit, base.resources.memory_limit);
  if (step.script.empty()) {
    if (step.command.empty()) step.command = base.command;
    if (step.args.empty()) step.args = base.args;
  }
  if (!step.security.run_as_user) step.security.run_as_user = base.security.run_as_user;
  if (!step.security.run_as_group) step.security.run_as_group = base.security.run_as_group;
  step.security.read_only_root |= base.security.read_only_root;
  std::vector<EnvVar> env;
  for (const EnvVar& variable : base.env)
    if (std::ranges::none_of(step.env, [&](const EnvVar& e) { return e.name.value == variable.name.value; }))
      env.push_back(variable);
  env.insert(env.end(), step.env.begin(), step.env.end());
  step.env = std::move(env);
  for (const VolumeMount& mount : base.volume_mounts)
    if (std::ranges::none_of(step.volume_mounts, [&](const VolumeMount& m) {
          return m.mount_path.value == mount.mount_path.value;
        }))
      step.volume_mounts.push_back(mount);
}

// A step with `ref` becomes what its StepAction says, under the action's own params.
void apply_action(Step& step, const Variables& task_params, const Variables& contexts) {
  const StepAction& action = *step.action;
  std::vector<Param> given;
  for (const Param& param : step.params)
    given.push_back(
        {param.name, substitute_value(substitute_value(param.value, task_params), contexts), param.at});
  Variables params;
  set_params(params, evaluate_params(action.params, given));
  Step body = action.step;
  substitute_step(body, params);
  if (body.image.empty()) body.image = step.image;  // the template's
  step.image = std::move(body.image);
  step.script = std::move(body.script);
  if (!body.command.empty() || !step.script.empty()) step.command = std::move(body.command);
  if (!body.args.empty() || !step.script.empty()) step.args = std::move(body.args);
  if (!body.working_dir.empty()) step.working_dir = std::move(body.working_dir);
  for (EnvVar& variable : body.env) {
    std::erase_if(step.env, [&](const EnvVar& mine) { return mine.name.value == variable.name.value; });
    step.env.push_back(std::move(variable));
  }
  for (VolumeMount& mount : body.volume_mounts) step.volume_mounts.push_back(std::move(mount));
  if (body.security.run_as_user) step.security.run_as_user = body.security.run_as_user;
  if (body.security.run_as_group) step.security.run_as_group = body.security.run_as_group;
  step.params.clear();
}

Variables paths_of(const ResolvedTask& task, const Step& step) {
  Variables out;
  for (const ResultSpec& result : task.spec.results)
    out.set("results", result.name.value, "path", "/tekton/results/" + result.name.value);
  for (const ResultSpec& result : step.results)
    out.set({"step", "results", result.name.value, "path"},
            ParamValue::string("/tekton/steps/" + step.name.value + "/results/" + result.name.value));
  for (const Step& other : task.spec.steps)
    out.set({"steps", other.name.value, "exitCode", "path"},
            ParamValue::string("/tekton/steps/" + other.name.value + "/exitCode"));
  for (const TaskWorkspace& workspace : task.workspaces) {
    const std::string& name = workspace.declaration.name;
    const bool claim = workspace.bound && workspace.binding.kind == WorkspaceBinding::Kind::Claim;
    out.set("workspaces", name, "path", workspace.path());
    out.set("workspaces", name, "bound", workspace.bound ? "true" : "false");
    out.set("workspaces", name, "claim", claim ? workspace.binding.source : "");
    out.set("workspaces", name, "volume", workspace.bound ? "ws-" + name : "");
  }
  out.set("credentials", "path", ParamValue::string("/tekton/creds"));
  out.set("artifacts", "path", ParamValue::string("/tekton/artifacts/provenance.json"));
  return out;
}

}  // namespace

const RunFacts& no_facts() {
  static const NoFacts facts;
  return facts;
}

std::string TaskWorkspace::path() const {
  if (!bound) return {};
  return declaration.mount_path.empty() ? "/workspace/" + declaration.name.value
                                        : declaration.mount_path.value;
}

Readiness check_ready(const Plan& plan, size_t index, const RunFacts& facts, const RunContext& context) {
  const PlannedTask& task = plan.tasks[index];
  const auto index_of = [&](std::string_view name) { return index_in(plan, task, name); };
  bool missing = std::ranges::any_of(
      task.uses, [&](const ResultUse& use) { return facts.result(use.task, use.result) == nullptr; });
  for (const When& when : task.when) {
    Variables variables;
    add_context(variables, plan, task, context);
    for (const TaskWorkspace& workspace : task.workspaces)
      variables.set("workspaces", workspace.binding.name.value, "bound", workspace.bound ? "true" : "false");
    add_facts(variables, plan, facts, when.input.value, index_of);
    for (const Text& value : when.values) add_facts(variables, plan, facts, value.value, index_of);
    const std::string input = substitute(when.input.value, variables);
    // Without its result an expression says nothing; that the result is missing does.
    if (missing && input.find("$(tasks.") != std::string::npos) continue;
    const std::vector<Text> values = substitute_list(when.values, variables);
    const bool in = std::ranges::any_of(values, [&](const Text& value) { return value.value == input; });
    if (in != (when.op.value == "in")) return {Readiness::Kind::WhenFalse, ""};
  }
  if (missing) return {Readiness::Kind::MissingResults, ""};
  for (const Param& param : task.params) {
    Readiness verdict;
    for_each_text(param, [&](std::string_view text, Position, ArrayUse) {
      if (!may_have_variables(text)) return;
      for (const Variable& variable : find_variables(text)) {
        const auto& path = variable.reference.path;
        if (path[0] != "tasks" || path.size() < 4 || variable.reference.suffix != Reference::Suffix::Index)
          continue;
        const size_t producer = index_of(path[1]);
        if (producer >= plan.tasks.size()) continue;
        const ParamValue* value = facts.result(producer, path[3]);
        if (value != nullptr && value->type == ParamType::Array &&
            variable.reference.index >= value->items.size())
          verdict = {Readiness::Kind::Invalid,
                     "array Result Index " + std::to_string(variable.reference.index) + " for Task " +
                         path[1] + " Result " + path[3] + " is out of bound of size " +
                         std::to_string(value->items.size())};
      }
    });
    if (verdict.kind != Readiness::Kind::Ready) return verdict;
  }
  return {};
}

ResolvedTask resolve_task(const Plan& plan, size_t index, const RunFacts& facts, const RunContext& context,
                          int attempt) {
  const PlannedTask& task = plan.tasks[index];
  ResolvedTask out;
  out.spec = *task.spec;
  out.workspaces = task.workspaces;
  const auto index_of = [&](std::string_view name) { return index_in(plan, task, name); };

  // What the pipeline passes: contexts, then results.
  Variables outside;
  add_context(outside, plan, task, context);
  for (const WorkspaceBinding& workspace : plan.workspaces)
    outside.set("workspaces", workspace.name.value, "bound", "true");
  for (const TaskWorkspace& workspace : task.workspaces)
    if (!workspace.bound) outside.set("workspaces", workspace.declaration.name.value, "bound", "false");
  for (const Param& param : task.params)
    for_each_text(param, [&](std::string_view text, Position, ArrayUse) {
      add_facts(outside, plan, facts, text, index_of);
    });
  std::vector<Param> given;
  for (const Param& param : task.params)
    given.push_back({param.name, substitute_value(param.value, outside), param.at});

  // Into an inline spec the pipeline's params propagate, weaker than what is passed, stronger than defaults.
  Variables params;
  if (task.inline_spec) {
    for (const Param& param : plan.params) {
      const ParamValue value = substitute_value(param.value, outside);
      params.set("params", param.name.value, value);
      const auto same = [&](const auto& p) { return p.name.value == param.name.value; };
      if (std::ranges::any_of(task.spec->params, same) && std::ranges::none_of(given, same))
        given.push_back({param.name, value, param.at});
    }
  }
  out.params = evaluate_params(task.spec->params, given, params);
  set_params(params, out.params);

  // A template is merged before anything is put in, so that both speak of the same variables.
  for (size_t i = 0; i < out.spec.steps.size(); ++i) {
    Step& step = out.spec.steps[i];
    if (step.name.empty()) step.name.value = "unnamed-" + std::to_string(i);
    if (out.spec.step_template) merge_step(step, *out.spec.step_template);
  }
  out.spec.step_template.reset();

  Variables contexts;
  add_context(contexts, plan, task, context);
  const std::string run = child_name(plan, index, context.run_name);
  contexts.set("context", "taskRun", "name", run);
  contexts.set("context", "taskRun", "namespace", context.run_namespace);
  contexts.set("context", "taskRun", "uid", sha256(context.run_uid + "/" + task.name).short_text());
  contexts.set("context", "task", "name", task.task_name.empty() ? task.name : task.task_name);
  contexts.set("context", "task", "retry-count", std::to_string(attempt));

  for (TaskWorkspace& workspace : out.workspaces) {
    std::string& path = workspace.declaration.mount_path.value;
    path = substitute(substitute(path, params), contexts);
    workspace.binding.sub_path.value =
        substitute(substitute(workspace.binding.sub_path.value, params), contexts);
  }
  for (Volume& volume : out.spec.volumes) {
    volume.name.value = substitute(volume.name.value, params);
    volume.source.value = substitute(volume.source.value, params);
  }
  for (Step& step : out.spec.steps)
    if (step.action) apply_action(step, params, contexts);
  // One pass each, in Tekton's order: params, contexts, results, paths of results and workspaces.
  for (Step& step : out.spec.steps) {
    substitute_step(step, params);
    substitute_step(step, contexts);
    if (task.inline_spec) {
      Variables results;
      for_each_text(step, [&](std::string_view text, Position, ArrayUse) {
        add_facts(results, plan, facts, text, index_of);
      });
      if (!results.empty()) substitute_step(step, results);
    }
    substitute_step(step, paths_of(out, step));
  }
  return out;
}

std::vector<std::pair<std::string, ParamValue>> resolve_results(const Plan& plan, const RunFacts& facts,
                                                                const RunContext& context) {
  std::vector<std::pair<std::string, ParamValue>> out;
  if (plan.results.empty()) return out;
  std::unordered_map<std::string_view, size_t> indices;
  for (size_t i = 0; i < plan.tasks.size(); ++i) indices.emplace(plan.tasks[i].name, i);
  const auto index_of = [&](std::string_view name) {
    const auto found = indices.find(name);
    return found == indices.end() ? plan.tasks.size() : found->second;
  };
  Variables params;
  set_params(params, plan.params);
  for (const ResultSpec& result : plan.results) {
    if (!result.value) continue;
    Variables variables;
    add_context(variables, plan, plan.tasks.front(), context);
    bool complete = true;
    for_each_text(Param{result.name, *result.value, {}}, [&](std::string_view text, Position, ArrayUse) {
      add_facts(variables, plan, facts, text, index_of);
      for (const Variable& variable : find_variables(text))
        if (const std::string& root = variable.reference.path[0]; root == "tasks" || root == "finally")
          complete &= variables.find(variable.reference).has_value();
    });
    if (complete)
      out.emplace_back(result.name, substitute_value(substitute_value(*result.value, params), variables));
  }
  return out;
}

std::string child_name(const Plan& plan, size_t task, std::string_view run_name) {
  if (plan.kind == Plan::Kind::Task) return std::string(run_name);
  constexpr size_t kLongest = 63;
  std::string name = std::string(run_name) + "-" + plan.tasks[task].name;
  if (name.size() <= kLongest) return name;
  const std::string hash = std::string(sha256(name).encoded().substr(0, 32));
  std::string kept = name.substr(0, kLongest - hash.size() - 1);
  while (kept.ends_with('-') || kept.ends_with('.')) kept.pop_back();
  return kept + "-" + hash;
}

std::optional<ParamValue> parse_result(ParamType type, std::string_view bytes) {
  if (type == ParamType::String) return ParamValue::string(std::string(bytes));
  return value_from_json(type, bytes);
}

}  // namespace kiln::dag
