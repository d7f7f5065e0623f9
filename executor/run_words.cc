// How a run and its durations are said.
#include <cstdio>

#include "executor/scheduler.h"

namespace kiln::executor {

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
  const size_t incomplete = plan.tasks.size() - completed - counts.skipped;
  if (incomplete > 0) out += ", Incomplete: " + std::to_string(incomplete);
  return out + ", Skipped: " + std::to_string(counts.skipped);
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
