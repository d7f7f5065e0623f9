#include "executor/state.h"

#include "dag/artifacts.h"

namespace kiln::executor {

std::string_view to_string(Phase phase) {
  switch (phase) {
    case Phase::Waiting:
      return "Waiting";
    case Phase::Ready:
      return "Ready";
    case Phase::Running:
      return "Running";
    case Phase::Succeeded:
      return "Succeeded";
    case Phase::Failed:
      return "Failed";
    case Phase::Cancelled:
      return "Cancelled";
    case Phase::Skipped:
      return "Skipped";
  }
  return "";
}

bool State::succeeded() const {
  return has_finished && (reason == "Succeeded" || reason == "Completed");
}

dag::TaskRunIndex index_of(const State& state, TaskRunId id) {
  const TaskState& task = state.tasks.at(id.task);
  dag::TaskRunIndex which{.attempt = task.run(id.run).attempt};
  if (task.runs.empty()) return which;
  which.in_matrix = id.run;
  which.combinations = task.runs.size();
  return which;
}

std::vector<TaskRunId> running_task_runs(const State& state) {
  std::vector<TaskRunId> out;
  for (size_t i = 0; i < state.tasks.size(); ++i)
    for (size_t k = 0; k < state.tasks[i].run_count(); ++k)
      if (state.tasks[i].run(k).phase == Phase::Running) out.push_back({i, k});
  return out;
}

const dag::ParamValue* StateFacts::result(size_t task, std::string_view name) const {
  const TaskState& state = state_.tasks[task];
  if (!is_terminal(state.phase)) return nullptr;
  for (const auto* results : {&state.defaults, &state.results})
    if (const auto found = results->find(name); found != results->end()) return &found->second;
  return nullptr;
}

const dag::ParamValue* StateFacts::result_default(size_t task, std::string_view name) const {
  const auto& defaults = state_.tasks[task].defaults;
  const auto found = defaults.find(name);
  return found == defaults.end() ? nullptr : &found->second;
}

std::string_view StateFacts::status(size_t task) const {
  switch (state_.tasks[task].phase) {
    case Phase::Succeeded:
      return "Succeeded";
    case Phase::Failed:
    case Phase::Cancelled:
      return "Failed";
    default:
      return "None";
  }
}

std::string_view StateFacts::reason(size_t task) const {
  const TaskState& state = state_.tasks[task];
  return state.phase == Phase::Skipped ? std::string_view() : std::string_view(state.reason);
}

std::optional<size_t> StateFacts::matrix_length(size_t task) const {
  const TaskState& state = state_.tasks[task];
  if (state.runs.empty()) return std::nullopt;
  return state.runs.size();
}

std::optional<std::string> StateFacts::artifact(size_t task, std::string_view kind,
                                                std::string_view name) const {
  const TaskState& state = state_.tasks[task];
  if (!is_terminal(state.phase)) return std::nullopt;
  return dag::artifact_values(state.artifacts, kind, name);
}

std::string_view StateFacts::aggregate_status() const {
  if (!state_.in_finally) return "None";
  bool skipped = false;
  for (size_t i = 0; i < plan_.dag_size; ++i) {
    const TaskState& task = state_.tasks[i];
    if (task.phase == Phase::Cancelled || task.phase == Phase::Failed) return "Failed";  // also when ignored
    skipped |= task.phase == Phase::Skipped && task.reason != skip::kInvalid;
  }
  return skipped ? "Completed" : "Succeeded";
}

}  // namespace kiln::executor
