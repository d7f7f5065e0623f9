// How a run and its durations are said.
#include <cstdio>
#include <map>

#include "executor/scheduler.h"

namespace kiln::executor {

namespace {

// What was wrong with the tasks that could not be given what they want.
std::string validation_words(const dag::Plan& plan, const State& state) {
  constexpr size_t kMost = 1024;
  std::map<std::string_view, std::string_view> by_name;
  for (size_t i = 0; i < state.tasks.size(); ++i)
    if (state.tasks[i].phase == Phase::Skipped && state.tasks[i].reason == skip::kInvalid)
      by_name[plan.tasks[i].name] = state.tasks[i].message;
  std::string words;
  for (const auto& [name, message] : by_name) words += (words.empty() ? "" : "; ") + std::string(message);
  if (words.size() > kMost) words = words.substr(0, kMost) + "...";
  return words;
}

}  // namespace

bool is_pending(const dag::Plan& plan) {
  return plan.status == "PipelineRunPending" || plan.status == "TaskRunPending";
}

std::string summary(const dag::Plan& plan, const State& state) {
  const Counts& counts = state.counts;
  const size_t completed = counts.succeeded + counts.failed + counts.ignored + counts.cancelled;
  std::string out = "Tasks Completed: " + std::to_string(completed) +
                    " (Failed: " + std::to_string(counts.failed + counts.ignored);
  if (counts.ignored > 0) out += " (Ignored: " + std::to_string(counts.ignored) + ")";
  out += ", Cancelled " + std::to_string(counts.cancelled) + ")";
  const size_t incomplete = plan.tasks.size() - completed - counts.skipped - counts.invalid;
  if (incomplete > 0) out += ", Incomplete: " + std::to_string(incomplete);
  out += ", Skipped: " + std::to_string(counts.skipped);
  if (counts.invalid > 0)
    out +=
        ", Failed Validation: " + std::to_string(counts.invalid) + " (" + validation_words(plan, state) + ")";
  return out;
}

std::string attempt_name(const dag::Plan& plan, size_t task, std::string_view run_name,
                         dag::TaskRunIndex which) {
  std::string name = dag::child_name(plan, task, run_name, which);
  if (which.attempt > 0) name += "-retry" + std::to_string(which.attempt);
  return name;
}

std::string object_name(const dag::Plan& plan, size_t task, std::string_view run_name,
                        dag::TaskRunIndex which) {
  return plan.tasks[task].kind == dag::PlannedTask::Kind::Pipeline
             ? attempt_name(plan, task, run_name, which)
             : dag::child_name(plan, task, run_name, which);
}

ChildWords child_words(const dag::PlannedTask& task) {
  switch (task.kind) {
    case dag::PlannedTask::Kind::Pipeline:
      return {"PipelineRun", "Cancelled", "PipelineRunTimeout"};
    case dag::PlannedTask::Kind::Custom:
      return {"CustomRun", "CustomRunCancelled", "CustomRunTimedOut"};
    case dag::PlannedTask::Kind::Task:
      break;
  }
  return {"TaskRun", "TaskRunCancelled", "TaskRunTimeout"};
}

std::string go_duration(Duration duration) {
  const double total = seconds(duration);
  const auto whole = static_cast<long long>(total);
  char text[64];
  const double rest = total - static_cast<double>(whole - whole % 60);
  if (total < 1 && total > 0)
    std::snprintf(text, sizeof text, "%gms", total * 1000);
  else if (whole >= 3600)
    std::snprintf(text, sizeof text, "%lldh%lldm%gs", whole / 3600, whole % 3600 / 60, rest);
  else if (whole >= 60)
    std::snprintf(text, sizeof text, "%lldm%gs", whole / 60, rest);
  else
    std::snprintf(text, sizeof text, "%gs", rest);
  return text;
}

}  // namespace kiln::executor
