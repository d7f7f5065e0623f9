#include "executor/task_status.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "executor/param_json.h"

namespace kiln::executor {
namespace {

using nlohmann::json;

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

// The inputs and outputs of a provenance.json; nothing when it is not of that form.
void add_artifacts(const std::string& provenance, json& status) {
  const json document = json::parse(provenance, nullptr, false);
  if (!document.is_object()) return;
  for (const char* kind : {"inputs", "outputs"})
    if (const auto list = document.find(kind); list != document.end() && list->is_array())
      status[kind] = *list;
}

// Of its own process; otherwise its TaskRun ended it, or kept it from beginning, and that is the reason
// (taskrun.go, terminateStepsInPod).
bool ended_by_itself(const StepRecord& step) {
  static constexpr std::string_view kOwn[] = {"Completed", "Error",           "Continued", "Skipped",
                                              "Cancelled", "TimeoutExceeded", "OOMKilled"};
  return step.reason.empty() || std::ranges::find(kOwn, step.reason) != std::end(kOwn);
}

// The kubelet's word for how a container ended. One whose failure is ignored ends well, whatever its code.
std::string_view container_reason(const StepRecord& step) {
  if (step.reason == "OOMKilled" || !ended_by_itself(step)) return step.reason;
  return step.exit_code == 0 || step.reason == "Continued" ? "Completed" : "Error";
}

// `prefix` of the container's name: "step-", "sidecar-".
json container_json(const StepRecord& step, const std::string& prefix) {
  json terminated{{"exitCode", ended_by_itself(step) ? step.exit_code : 1},
                  {"reason", container_reason(step)},
                  {"startedAt", format_rfc3339(step.started)},
                  {"finishedAt", format_rfc3339(step.finished)}};
  if (!step.message.empty()) terminated["message"] = step.message;
  json out{{"name", step.name}, {"container", prefix + step.name}, {"terminated", std::move(terminated)}};
  if (!step.image_digest.empty()) out["imageID"] = step.image_digest;
  return out;
}

json declared_results_json(const std::map<std::string, std::string>& results,
                           const std::vector<dag::ResultSpec>& declared) {
  json out = json::array();
  for (const auto& [name, bytes] : results) {
    const auto spec = std::ranges::find_if(declared, [&](const auto& one) { return one.name.value == name; });
    const auto type = spec == declared.end() ? dag::ParamType::String : spec->type;
    if (const auto value = dag::parse_result(type, bytes)) out.push_back(result_json(name, *value));
  }
  return out;
}

json steps_json(const std::vector<StepRecord>& steps, const dag::TaskSpec* spec, const std::string& pod) {
  json out = json::array();
  for (size_t i = 0; i < steps.size(); ++i) {
    const StepRecord& step = steps[i];
    json one = container_json(step, "step-");
    one["terminationReason"] = step.reason;
    if (!ended_by_itself(step))
      one["terminated"]["message"] = "Step " + step.name + " terminated as pod " + pod + " is terminated";
    static const std::vector<dag::ResultSpec> kNone;
    const bool known = spec != nullptr && i < spec->steps.size();
    const dag::Step* written = known ? &spec->steps[i] : nullptr;
    const auto& declared = written == nullptr ? kNone
                           : written->action  ? written->action->step.results
                                              : written->results;
    if (json results = declared_results_json(step.results, declared); !results.empty())
      one["results"] = std::move(results);
    add_artifacts(step.artifacts, one);
    out.push_back(std::move(one));
  }
  return out;
}

// Of a pod that has not ended: what it is made of is known, how far it is is not.
json unended_steps_json(const dag::TaskSpec& spec) {
  json out = json::array();
  for (size_t i = 0; i < spec.steps.size(); ++i) {
    const std::string name = dag::step_name(spec.steps[i], i);
    out.push_back({{"name", name}, {"container", "step-" + name}});
  }
  return out;
}

json attempt_json(const AttemptRecord& attempt, int number, const dag::PlannedTask& planned,
                  const std::string& name) {
  json out{{"conditions",
            condition_json("False", attempt.outcome.reason, attempt.outcome.message, attempt.finished)},
           {"startTime", format_rfc3339(attempt.started)},
           {"completionTime", format_rfc3339(attempt.finished)}};
  if (!planned.spec) return out;
  const std::string pod = dag::pod_name(name, number);
  out["podName"] = pod;
  out["steps"] = steps_json(attempt.outcome.steps, &*planned.spec, pod);
  if (json results = declared_results_json(attempt.outcome.results, planned.spec->results); !results.empty())
    out["results"] = std::move(results);
  return out;
}

}  // namespace

json condition_json(std::string_view status, std::string_view reason, std::string_view message, Time at) {
  return json::array({{{"type", "Succeeded"},
                       {"status", status},
                       {"reason", reason},
                       {"message", message},
                       {"lastTransitionTime", format_rfc3339(at)}}});
}

json result_json(const std::string& name, const dag::ParamValue& value) {
  return {{"name", name}, {"type", dag::to_string(value.type)}, {"value", value_json(value)}};
}

json child_status_json(const TaskRunState& task, const dag::PlannedTask& planned, const std::string& name) {
  const bool runs_pod = planned.kind == dag::PlannedTask::Kind::Task;
  const bool ended = is_terminal(task.phase);
  const std::string message = runs_pod && task.phase == Phase::Running
                                  ? "Not all Steps in the Task have finished executing"
                                  : task.message;
  json status{
      {"conditions",
       condition_json(status_word(task.phase), task.reason, message, ended ? task.finished : task.started)},
      {"startTime", format_rfc3339(task.retries.empty() ? task.started : task.retries.front().started)}};
  if (ended) status["completionTime"] = format_rfc3339(task.finished);
  if (runs_pod) {
    const std::string pod = dag::pod_name(name, static_cast<int>(task.retries.size()));
    status["podName"] = pod;
    status["steps"] = task.phase == Phase::Running ? unended_steps_json(*planned.spec)
                                                   : steps_json(task.steps, &*planned.spec, pod);
  }
  for (const auto& [result, value] : task.results) status["results"].push_back(result_json(result, value));
  for (const StepRecord& sidecar : task.sidecars)
    status["sidecars"].push_back(container_json(sidecar, "sidecar-"));
  json artifacts = json::object();
  add_artifacts(task.artifacts, artifacts);
  if (!artifacts.empty()) status["artifacts"] = std::move(artifacts);
  for (const AttemptRecord& attempt : task.retries) {
    const auto number = static_cast<int>(status["retriesStatus"].size());
    status["retriesStatus"].push_back(attempt_json(attempt, number, planned, name));
  }
  return status;
}

}  // namespace kiln::executor
