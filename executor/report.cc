#include "executor/report.h"

#include <nlohmann/json.hpp>

#include "base/digest.h"
#include "executor/param_json.h"
#include "executor/run_condition.h"
#include "executor/scheduler.h"
#include "executor/secrets.h"
#include "executor/spec_json.h"
#include "executor/task_status.h"

namespace kiln::executor {
namespace {

using nlohmann::json;

// Without the defaults, which are the spec's.
json given_json(std::vector<dag::Param> params) {
  std::erase_if(params, [](const dag::Param& param) { return param.is_default; });
  return params_json(params);
}

std::string_view api_version(const dag::PlannedTask& task) {
  return task.kind == dag::PlannedTask::Kind::Custom ? "tekton.dev/v1beta1" : "tekton.dev/v1";
}

bool has_run(const TaskRunState& task) {
  return task.started != Time{} && task.phase != Phase::Skipped;
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
    json one{{"apiVersion", api_version(planned)},
             {"kind", child_words(planned).kind},
             {"name", object_name(plan, i, run.id, which)},
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

// Only a spec of its own is a customSpec: a reference need not name anything.
void put_custom(const dag::PlannedTask& planned, json& spec) {
  const dag::CustomTask& custom = *planned.custom;
  json out{{"apiVersion", custom.api_version}, {"kind", custom.kind}};
  if (!custom.name.empty()) out["name"] = custom.name;
  if (!custom.spec.empty()) out["spec"] = json::parse(custom.spec, nullptr, false);
  spec[planned.inline_spec ? "customSpec" : "customRef"] = std::move(out);
}

// What ended a child that was told to end, as its run wrote it into the spec.
void put_stop(const TaskRunState& task, const dag::PlannedTask& planned, json& spec) {
  if (!task.stop_reason.ends_with("Cancelled")) return;
  if (planned.kind == dag::PlannedTask::Kind::Pipeline) {
    spec["status"] = "Cancelled";
    return;
  }
  constexpr std::string_view kCause = "was cancelled. ";
  spec["status"] = planned.kind == dag::PlannedTask::Kind::Custom ? "RunCancelled" : "TaskRunCancelled";
  if (const size_t at = task.stop_message.find(kCause); at != std::string::npos)
    spec["statusMessage"] = task.stop_message.substr(at + kCause.size());
}

json task_run(const RunRecord& run, const dag::Plan& plan, const State& state, TaskRunId id) {
  const dag::PlannedTask& planned = plan.tasks[id.task];
  const TaskRunState& task = state.tasks[id.task].run(id.run);
  const dag::TaskRunIndex which = index_of(state, id);
  const dag::ResolvedTask resolved =
      dag::resolve_task(plan, id.task, StateFacts(plan, state), {run.id, run.uid, "default"}, which);
  const std::string name = object_name(plan, id.task, run.id, which);
  json spec = json::object();
  if (json params = given_json(resolved.params); !params.empty()) spec["params"] = std::move(params);
  if (planned.retries > 0) spec["retries"] = planned.retries;
  if (planned.kind != dag::PlannedTask::Kind::Pipeline) spec["timeout"] = go_duration(planned.timeout);
  if (!planned.settings->service_account.empty())
    spec["serviceAccountName"] = planned.settings->service_account.value;
  put_stop(task, planned, spec);
  json out{{"apiVersion", api_version(planned)},
           {"kind", child_words(planned).kind},
           {"metadata", child_metadata(run, plan, planned, name,
                                       task.retries.empty() ? task.started : task.retries.front().started)},
           {"status", child_status_json(task, planned, name)}};
  if (planned.kind == dag::PlannedTask::Kind::Task) {
    spec["taskSpec"] = task_spec_json(*planned.spec);
    out["status"]["taskSpec"] = task_spec_json(resolved.spec);
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
    put_custom(planned, spec);
    for (json& result : out["status"]["results"]) result.erase("type");
    if (out["status"]["results"].is_null()) out["status"].erase("results");
  }
  out["spec"] = std::move(spec);
  return out;
}

// What was asked of the run last: by its document, or by who cancelled it.
std::string_view spec_status(const dag::Plan& plan, const State& state) {
  switch (state.cancel) {
    case Cancel::Now:
      return "Cancelled";
    case Cancel::RunFinally:
      return "CancelledRunFinally";
    case Cancel::StopRunFinally:
      return "StoppedRunFinally";
    case Cancel::No:
      break;
  }
  return state.has_started ? std::string_view() : std::string_view(plan.status);
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
        condition_json(state.succeeded() ? "True" : "False", state.reason, state.message, state.finished);
    json results = json::array();
    for (const auto& [name, value] :
         dag::resolve_results(plan, StateFacts(plan, state), {run.id, run.uid, "default"}))
      results.push_back({{"name", name}, {"value", value_json(value)}});
    if (!results.empty()) status["results"] = std::move(results);
  } else if (!state.has_started) {
    status["conditions"] = condition_json("Unknown", run.reason, run.message, run.created);
  } else {
    const RunCondition now = running_condition(plan, state);
    status["conditions"] = condition_json("Unknown", now.reason, now.message, state.started);
  }
  json spec{{"pipelineSpec", status["pipelineSpec"]}};
  if (json params = given_json(plan.params); !params.empty()) spec["params"] = std::move(params);
  if (json workspaces = workspaces_json(plan.workspaces); !workspaces.empty())
    spec["workspaces"] = std::move(workspaces);
  spec["timeouts"]["pipeline"] = go_duration(plan.timeout);
  if (plan.tasks_timeout > Duration{}) spec["timeouts"]["tasks"] = go_duration(plan.tasks_timeout);
  if (plan.finally_timeout > Duration{}) spec["timeouts"]["finally"] = go_duration(plan.finally_timeout);
  if (const std::string_view asked = spec_status(plan, state); !asked.empty()) spec["status"] = asked;
  json out{{"apiVersion", "tekton.dev/v1"},
           {"kind", "PipelineRun"},
           {"metadata", metadata(run, plan, run.id, run.uid)},
           {"spec", std::move(spec)},
           {"status", std::move(status)}};
  return out;
}

// A run that is one TaskRun or CustomRun.
json lone_run(const RunRecord& run, const dag::Plan& plan, const State& state) {
  State known = state;
  known.tasks.resize(plan.tasks.size());  // nothing of one that is pending
  json out = task_run(run, plan, known, {});
  out["metadata"] = metadata(run, plan, run.id, run.uid);
  out["spec"].erase("params");
  if (json params = given_json(plan.params); !params.empty()) out["spec"]["params"] = std::move(params);
  if (!state.has_started) {
    if (!plan.status.empty()) out["spec"]["status"] = plan.status;
    out["status"] = {{"conditions", condition_json("Unknown", run.reason, run.message, run.created)}};
  } else if (state.has_finished && out["kind"] == "TaskRun") {
    out["status"]["conditions"] =
        condition_json(state.succeeded() ? "True" : "False", state.reason, state.message, state.finished);
  }
  return out;
}

}  // namespace

json describe_task(const RunRecord& run, const dag::Plan& plan, const State& state, TaskRunId id) {
  return masked(secrets_of(plan), task_run(run, plan, state, id));
}

json describe(const RunRecord& run, const dag::Plan& plan, const State& state) {
  if (plan.kind == dag::Plan::Kind::Pipeline || plan.tasks.empty())
    return masked(secrets_of(plan), pipeline_run(run, plan, state));
  return masked(secrets_of(plan), lone_run(run, plan, state));
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
