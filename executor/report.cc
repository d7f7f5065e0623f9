#include "executor/report.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/digest.h"
#include "executor/param_json.h"
#include "executor/scheduler.h"
#include "executor/secrets.h"
#include "executor/spec_json.h"

namespace kiln::executor {
namespace {

using nlohmann::json;

json condition(std::string_view status, std::string_view reason, std::string_view message, Time at) {
  return json::array({{{"type", "Succeeded"},
                       {"status", status},
                       {"reason", reason},
                       {"message", message},
                       {"lastTransitionTime", format_rfc3339(at)}}});
}

std::string_view status_word(Phase phase) {
  switch (phase) {
    case Phase::Succeeded:
      return "True";
    case Phase::Failed:
    case Phase::Cancelled:
      return "False";
    default:
      return "Unknown";
  }
}

json result_json(const std::string& name, const dag::ParamValue& value) {
  return {{"name", name}, {"type", dag::to_string(value.type)}, {"value", value_json(value)}};
}

// Without the defaults, which are the spec's.
json given_json(std::vector<dag::Param> params) {
  std::erase_if(params, [](const dag::Param& param) { return param.is_default; });
  return params_json(params);
}

// The inputs and outputs of a provenance.json; nothing when it is not of that form.
void add_artifacts(const std::string& provenance, json& status) {
  const json document = json::parse(provenance, nullptr, false);
  if (!document.is_object()) return;
  for (const char* kind : {"inputs", "outputs"})
    if (const auto list = document.find(kind); list != document.end() && list->is_array())
      status[kind] = *list;
}

// `prefix` of the container's name: "step-", "sidecar-".
json container_json(const StepRecord& step, const std::string& prefix) {
  json terminated{{"exitCode", step.exit_code},
                  {"reason", step.exit_code == 0 ? "Completed" : "Error"},
                  {"startedAt", format_rfc3339(step.started)},
                  {"finishedAt", format_rfc3339(step.finished)}};
  if (!step.message.empty()) terminated["message"] = step.message;
  json out{{"name", step.name}, {"container", prefix + step.name}, {"terminated", std::move(terminated)}};
  if (!step.image_digest.empty()) out["imageID"] = step.image_digest;
  return out;
}

json step_results_json(const StepRecord& step, const std::vector<dag::ResultSpec>& declared) {
  json out = json::array();
  for (const auto& [name, bytes] : step.results) {
    const auto spec = std::ranges::find_if(declared, [&](const auto& one) { return one.name.value == name; });
    const auto type = spec == declared.end() ? dag::ParamType::String : spec->type;
    if (const auto value = dag::parse_result(type, bytes)) out.push_back(result_json(name, *value));
  }
  return out;
}

json steps_json(const std::vector<StepRecord>& steps, const dag::TaskSpec* spec) {
  json out = json::array();
  for (size_t i = 0; i < steps.size(); ++i) {
    const StepRecord& step = steps[i];
    json one = container_json(step, "step-");
    one["terminationReason"] = step.reason;
    static const std::vector<dag::ResultSpec> kNone;
    const bool known = spec != nullptr && i < spec->steps.size();
    const dag::Step* written = known ? &spec->steps[i] : nullptr;
    const auto& declared = written == nullptr ? kNone
                           : written->action  ? written->action->step.results
                                              : written->results;
    if (json results = step_results_json(step, declared); !results.empty())
      one["results"] = std::move(results);
    add_artifacts(step.artifacts, one);
    out.push_back(std::move(one));
  }
  return out;
}

std::string_view child_kind(const dag::PlannedTask& task) {
  switch (task.kind) {
    case dag::PlannedTask::Kind::Pipeline:
      return "PipelineRun";
    case dag::PlannedTask::Kind::Custom:
      return "CustomRun";
    case dag::PlannedTask::Kind::Task:
      break;
  }
  return "TaskRun";
}

bool has_run(const TaskRunState& task) {
  return task.started != Time{} && task.phase != Phase::Skipped;
}

json task_status(const TaskRunState& task, const dag::TaskSpec* spec) {
  json status{
      {"conditions", condition(status_word(task.phase), task.reason, task.message,
                               is_terminal(task.phase) ? task.finished : task.started)},
      {"startTime", format_rfc3339(task.retries.empty() ? task.started : task.retries.front().started)},
      {"steps", steps_json(task.steps, spec)}};
  if (is_terminal(task.phase)) status["completionTime"] = format_rfc3339(task.finished);
  json results = json::array();
  for (const auto& [name, value] : task.results) results.push_back(result_json(name, value));
  if (!results.empty()) status["results"] = std::move(results);
  for (const StepRecord& sidecar : task.sidecars)
    status["sidecars"].push_back(container_json(sidecar, "sidecar-"));
  json artifacts = json::object();
  add_artifacts(task.artifacts, artifacts);
  if (!artifacts.empty()) status["artifacts"] = std::move(artifacts);
  for (const AttemptRecord& attempt : task.retries)
    status["retriesStatus"].push_back({{"conditions", condition("False", attempt.outcome.reason,
                                                                attempt.outcome.message, attempt.finished)},
                                       {"startTime", format_rfc3339(attempt.started)},
                                       {"completionTime", format_rfc3339(attempt.finished)},
                                       {"steps", steps_json(attempt.outcome.steps, spec)}});
  return status;
}

json metadata(const RunRecord& run, const dag::Plan& plan, std::string name, std::string uid) {
  json labels = json::object(), annotations = json::object();
  for (const auto& [key, value] : plan.labels) labels[key] = value;
  for (const auto& [key, value] : plan.annotations) annotations[key] = value;
  if (run.kind == "Pipeline")
    labels["tekton.dev/pipeline"] = plan.inline_spec ? run.id : run.name;
  else if (run.kind == "Task" && !plan.tasks.empty() && !plan.tasks.front().inline_spec)
    labels["tekton.dev/task"] = run.name;
  json out{{"name", std::move(name)},
           {"namespace", "default"},
           {"uid", std::move(uid)},
           {"creationTimestamp", format_rfc3339(run.created)},
           {"labels", std::move(labels)}};
  if (!annotations.empty()) out["annotations"] = std::move(annotations);
  return out;
}

// Of a TaskRun of a PipelineRun.
json child_metadata(const RunRecord& run, const dag::Plan& plan, const dag::PlannedTask& task,
                    std::string name, Time started) {
  std::string uid = dag::child_uid(plan, run.uid, name);
  json out = metadata(run, plan, std::move(name), std::move(uid));
  out["creationTimestamp"] = format_rfc3339(started);
  out["labels"]["tekton.dev/pipelineRun"] = run.id;
  out["labels"]["tekton.dev/pipelineRunUID"] = run.uid;
  out["labels"]["tekton.dev/pipelineTask"] = task.name;
  out["labels"]["tekton.dev/memberOf"] = task.is_finally ? "finally" : "tasks";
  if (!task.task_name.empty()) out["labels"]["tekton.dev/task"] = task.task_name;
  out["ownerReferences"] = json::array({{{"apiVersion", "tekton.dev/v1"},
                                         {"kind", "PipelineRun"},
                                         {"name", run.id},
                                         {"uid", run.uid},
                                         {"controller", true},
                                         {"blockOwnerDeletion", true}}});
  return out;
}

// Where a spec came from: its file and what was in it.
json provenance(const dag::Plan& plan, const std::string& file) {
  const auto source = plan.sources.find(file);
  if (source == plan.sources.end()) return nullptr;
  return {{"refSource", {{"entryPoint", file}, {"digest", {{"sha256", sha256(source->second).encoded()}}}}}};
}

json when_of(const RunRecord& run, const dag::Plan& plan, const State& state, size_t i) {
  return when_json(dag::resolve_when(plan, i, StateFacts(plan, state), {run.id, run.uid, "default"}));
}

bool finally_ran(const dag::Plan& plan, const State& state) {
  for (size_t i = plan.dag_size; i < state.tasks.size(); ++i)
    if (state.tasks[i].started != Time{} && state.tasks[i].phase != Phase::Skipped) return true;
  return false;
}

json child_references(const RunRecord& run, const dag::Plan& plan, const State& state, size_t i) {
  json out = json::array();
  const dag::PlannedTask& planned = plan.tasks[i];
  for (size_t k = 0; k < state.tasks[i].run_count(); ++k) {
    if (!has_run(state.tasks[i].run(k))) continue;
    const dag::TaskRunIndex which = index_of(state, {i, k});
    json one{{"apiVersion", "tekton.dev/v1"},
             {"kind", child_kind(planned)},
             {"name", dag::child_name(plan, i, run.id, which)},
             {"pipelineTaskName", planned.name}};
    if (!planned.display_name.empty() || planned.matrix) {
      std::string name =
          dag::resolve_task(plan, i, StateFacts(plan, state), {run.id, run.uid, "default"}, which)
              .display_name;
      if (!name.empty()) one["displayName"] = std::move(name);
    }
    if (!planned.when.empty()) one["whenExpressions"] = when_of(run, plan, state, i);
    out.push_back(std::move(one));
  }
  return out;
}

json task_run(const RunRecord& run, const dag::Plan& plan, const State& state, TaskRunId id) {
  const dag::PlannedTask& planned = plan.tasks[id.task];
  const TaskRunState& task = state.tasks[id.task].run(id.run);
  const dag::TaskRunIndex which = index_of(state, id);
  const dag::ResolvedTask resolved =
      dag::resolve_task(plan, id.task, StateFacts(plan, state), {run.id, run.uid, "default"}, which);
  const std::string name = dag::child_name(plan, id.task, run.id, which);
  json spec = json::object();
  if (json params = given_json(resolved.params); !params.empty()) spec["params"] = std::move(params);
  if (planned.retries > 0) spec["retries"] = planned.retries;
  if (planned.timeout > Duration{} && planned.kind != dag::PlannedTask::Kind::Pipeline)
    spec["timeout"] = go_duration(planned.timeout);
  if (!planned.settings->service_account.empty())
    spec["serviceAccountName"] = planned.settings->service_account.value;
  json out{
      {"apiVersion", planned.kind == dag::PlannedTask::Kind::Custom ? "tekton.dev/v1beta1" : "tekton.dev/v1"},
      {"kind", child_kind(planned)},
      {"metadata", child_metadata(run, plan, planned, name,
                                  task.retries.empty() ? task.started : task.retries.front().started)},
      {"status", task_status(task, planned.spec ? &*planned.spec : nullptr)}};
  if (planned.kind == dag::PlannedTask::Kind::Task) {
    spec["taskSpec"] = task_spec_json(*planned.spec);
    out["status"]["taskSpec"] = task_spec_json(resolved.spec);
    const int retried = static_cast<int>(task.retries.size());
    out["status"]["podName"] = dag::pod_name(name, retried);
    for (int attempt = 0; attempt < retried; ++attempt)
      out["status"]["retriesStatus"][static_cast<size_t>(attempt)]["podName"] = dag::pod_name(name, attempt);
    if (json from = provenance(plan, planned.spec_file); !from.is_null())
      out["status"]["provenance"] = std::move(from);
    std::vector<dag::WorkspaceBinding> bindings;
    for (const dag::TaskWorkspace& workspace : resolved.workspaces) {
      if (!workspace.bound) continue;
      bindings.push_back(workspace.binding);
      bindings.back().name = workspace.declaration.name;
    }
    if (json workspaces = workspaces_json(bindings, run.uid); !workspaces.empty())
      spec["workspaces"] = std::move(workspaces);
  } else if (planned.kind == dag::PlannedTask::Kind::Custom) {
    out["status"].erase("steps");
    if (planned.custom->name.empty())
      spec["customSpec"] = {{"apiVersion", planned.custom->api_version}, {"kind", planned.custom->kind}};
    else
      spec["customRef"] = {{"apiVersion", planned.custom->api_version},
                           {"kind", planned.custom->kind},
                           {"name", planned.custom->name}};
    if (planned.custom->name.empty() && !planned.custom->spec.empty())
      spec["customSpec"]["spec"] = json::parse(planned.custom->spec, nullptr, false);
    for (json& result : out["status"]["results"]) result.erase("type");
    if (out["status"]["results"].is_null()) out["status"].erase("results");
  }
  out["spec"] = std::move(spec);
  return out;
}

json pipeline_run(const RunRecord& run, const dag::Plan& plan, const State& state) {
  json children = json::array(), skipped = json::array();
  for (size_t i = 0; i < state.tasks.size(); ++i) {
    const TaskState& task = state.tasks[i];
    const dag::PlannedTask& planned = plan.tasks[i];
    if (task.phase == Phase::Skipped) {
      if (task.reason == skip::kNone || task.reason == skip::kInvalid) continue;
      json one{{"name", planned.name}, {"reason", task.reason}};
      if (task.reason == skip::kWhen) one["whenExpressions"] = when_of(run, plan, state, i);
      skipped.push_back(std::move(one));
    } else {
      for (json& one : child_references(run, plan, state, i)) children.push_back(std::move(one));
    }
  }
  json status{{"pipelineSpec", pipeline_spec_json(plan)}};
  if (!children.empty()) status["childReferences"] = std::move(children);
  if (state.has_started) status["startTime"] = format_rfc3339(state.started);
  if (finally_ran(plan, state)) status["finallyStartTime"] = format_rfc3339(state.finally_started);
  if (!skipped.empty()) status["skippedTasks"] = std::move(skipped);
  if (!plan.tasks.empty())
    if (json from = provenance(plan, plan.tasks.front().file); !from.is_null())
      status["provenance"] = std::move(from);
  if (state.has_finished) {
    status["completionTime"] = format_rfc3339(state.finished);
    status["conditions"] =
        condition(state.succeeded() ? "True" : "False", state.reason, state.message, state.finished);
    json results = json::array();
    for (const auto& [name, value] :
         dag::resolve_results(plan, StateFacts(plan, state), {run.id, run.uid, "default"}))
      results.push_back({{"name", name}, {"value", value_json(value)}});
    if (!results.empty()) status["results"] = std::move(results);
  } else if (!state.has_started) {
    status["conditions"] = condition("Unknown", run.reason, run.message, run.created);
  } else {
    status["conditions"] = condition("Unknown", "Running", summary(plan, state), state.started);
  }
  json spec{{"pipelineSpec", status["pipelineSpec"]}};
  if (json params = given_json(plan.params); !params.empty()) spec["params"] = std::move(params);
  if (json workspaces = workspaces_json(plan.workspaces); !workspaces.empty())
    spec["workspaces"] = std::move(workspaces);
  if (plan.timeout > Duration{}) spec["timeouts"]["pipeline"] = go_duration(plan.timeout);
  if (plan.tasks_timeout > Duration{}) spec["timeouts"]["tasks"] = go_duration(plan.tasks_timeout);
  if (plan.finally_timeout > Duration{}) spec["timeouts"]["finally"] = go_duration(plan.finally_timeout);
  if (!plan.status.empty()) spec["status"] = plan.status;
  json out{{"apiVersion", "tekton.dev/v1"},
           {"kind", "PipelineRun"},
           {"metadata", metadata(run, plan, run.id, run.uid)},
           {"spec", std::move(spec)},
           {"status", std::move(status)}};
  return out;
}

}  // namespace

json describe_task(const RunRecord& run, const dag::Plan& plan, const State& state, TaskRunId id) {
  return masked(secrets_of(plan), task_run(run, plan, state, id));
}

json describe(const RunRecord& run, const dag::Plan& plan, const State& state) {
  if (plan.kind == dag::Plan::Kind::Pipeline || state.tasks.empty())
    return masked(secrets_of(plan), pipeline_run(run, plan, state));
  json out = describe_task(run, plan, state, {});
  out["metadata"] = metadata(run, plan, run.id, run.uid);
  out["spec"].erase("params");
  if (json params = given_json(plan.params); !params.empty())
    out["spec"]["params"] = masked(secrets_of(plan), std::move(params));
  if (state.has_finished && out["kind"] == "TaskRun")
    out["status"]["conditions"] =
        masked(secrets_of(plan),
               condition(state.succeeded() ? "True" : "False", state.reason, state.message, state.finished));
  return out;
}

std::vector<json> describe_children(const RunRecord& run, const dag::Plan& plan, const State& state) {
  std::vector<json> out;
  if (plan.kind != dag::Plan::Kind::Pipeline) return out;
  for (size_t i = 0; i < state.tasks.size(); ++i)
    for (size_t k = 0; k < state.tasks[i].run_count(); ++k)
      if (plan.tasks[i].kind != dag::PlannedTask::Kind::Pipeline && has_run(state.tasks[i].run(k)))
        out.push_back(describe_task(run, plan, state, {i, k}));
  return out;
}

}  // namespace kiln::executor
