#include "cli/task_words.h"

#include "base/text.h"
#include "cli/terminal.h"

namespace kiln::cli {

using executor::Phase;

std::string started_words(const executor::RunRecord& run, const dag::Plan& plan) {
  return paint(Colour::Bold, "run " + run.id) + "  " + std::string(plan.kind_name()) + " " + plan.name +
         ", " + std::to_string(plan.tasks.size()) + (plan.tasks.size() == 1 ? " task" : " tasks");
}

std::string duration_words(const executor::TaskRunState& state) {
  return format_seconds(seconds(state.finished - state.started));
}

std::string ended_words(const std::string& label, const executor::TaskRunState& state) {
  switch (state.phase) {
    case Phase::Succeeded:
      return paint(Colour::Green, "✔ ") + label + "  " +
             (state.message.starts_with(executor::kReusedFrom) ? state.message : duration_words(state));
    case Phase::Ready: {
      const std::string why = state.retries.empty() ? state.message : state.retries.back().outcome.message;
      return paint(Colour::Yellow, "↻ ") + label + "  " + why;
    }
    default:
      return paint(Colour::Red, "✘ ") + label + "  " + duration_words(state) + "  " + state.message;
  }
}

std::string_view skip_reason_words(std::string_view reason) {
  if (reason.empty()) return "another TaskRun of its matrix has failed";  // kiln.dev/fail-fast
  return reason == executor::skip::kNone ? "never had its turn" : reason;
}

std::string skipped_words(const std::string& label, std::string_view reason) {
  return paint(Colour::Yellow, "– ") + label + "  skipped: " + std::string(skip_reason_words(reason));
}

}  // namespace kiln::cli
