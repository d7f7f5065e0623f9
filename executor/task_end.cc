#include "executor/task_end.h"

#include <algorithm>

namespace kiln::executor {

bool gather(TaskState& task) {
  const auto ended = [](const TaskRunState& run) { return is_terminal(run.phase); };
  if (!std::ranges::all_of(task.runs, ended)) return false;
  const TaskRunState* speaker = &task.runs.front();
  for (Phase phase : {Phase::Cancelled, Phase::Failed})
    if (const auto found = std::ranges::find(task.runs, phase, &TaskRunState::phase);
        found != task.runs.end())
      speaker = &*found;
  task.phase = speaker->phase;
  task.reason = speaker->reason;
  task.message = speaker->message;
  for (const TaskRunState& run : task.runs) {
    task.finished = std::max(task.finished, run.finished);
    task.infrastructure |= run.infrastructure;
    for (const auto& [name, value] : run.results) {
      dag::ParamValue& all = task.results.try_emplace(name, dag::ParamValue::array({})).first->second;
      all.items.push_back(value.text);
    }
  }
  return true;
}

// Only a TaskRun says in its own reason that nobody minds, and only where its steps or sidecars failed: one
// that ran out of time, or never began, keeps the reason for that (status.go, updateCompletedTaskRunStatus).
void ignore_failure(const dag::PlannedTask& planned, TaskState& task) {
  task.ignored = true;
  if (planned.kind != dag::PlannedTask::Kind::Task) return;
  static constexpr std::string_view kOfContainers[] = {"",        "Failed",        "StepFailed",
                                                       "StepOOM", "SidecarFailed", "SidecarOOM"};
  const auto of_containers = [](const std::string& reason) {
    return std::ranges::find(kOfContainers, reason) != std::end(kOfContainers);
  };
  if (of_containers(task.reason)) task.reason = "FailureIgnored";
  for (TaskRunState& run : task.runs)
    if (run.phase == Phase::Failed && of_containers(run.reason)) run.reason = "FailureIgnored";
}

void take_defaults(const dag::Plan& plan, size_t i, TaskState& task) {
  if (plan.annotations.empty()) return;
  const dag::PlannedTask& planned = plan.tasks[i];
  const std::string prefix = std::string(dag::annotation::kResultDefault) + planned.name + ".";
  for (auto at = plan.annotations.lower_bound(prefix);
       at != plan.annotations.end() && at->first.starts_with(prefix); ++at) {
    const std::string result = at->first.substr(prefix.size());
    if (task.phase == Phase::Succeeded && task.results.contains(result)) continue;
    if (auto value = dag::parse_result(planned.result_type(result), at->second))
      task.defaults.emplace(result, std::move(*value));
  }
}

}  // namespace kiln::executor
