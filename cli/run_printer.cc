#include "cli/run_printer.h"

#include <algorithm>

#include "base/clock.h"
#include "base/fs.h"
#include "base/text.h"
#include "cli/terminal.h"
#include "dag/resolve.h"

namespace kiln::cli {
namespace {

using executor::Phase;

std::string prefix_of(const std::string& task, const std::string& step) {
  return "[" + task + " : " + step + "] ";
}

std::string duration(const executor::TaskRunState& state) {
  return format_seconds(seconds(state.finished - state.started));
}

// The last lines of a log, for the summary of a failure.
std::string tail(const fs::path& log, size_t lines) {
  std::string text;
  try {
    text = read_file(log, 1u << 30);
  } catch (const Error&) {
    return {};
  }
  size_t at = text.size();
  for (size_t seen = 0; at > 0; --at)
    if (text[at - 1] == '\n' && at != text.size() && ++seen == lines) break;
  return text.substr(at);
}

}  // namespace

void RunPrinter::run_started(const executor::RunRecord& run, const dag::Plan& plan) {
  say(paint(Colour::Bold, "run " + run.id) + "  " + std::string(plan.kind_name()) + " " + plan.name + ", " +
      std::to_string(plan.tasks.size()) + (plan.tasks.size() == 1 ? " task" : " tasks"));
}

void RunPrinter::run_waits(const executor::RunRecord& run, std::string_view other) {
  say(paint(Colour::Yellow, "… ") + "waits for " +
      (other.empty() ? "another run" : "run " + std::string(other)) + " of concurrency group \"" + run.group +
      "\"");
}

void RunPrinter::task_started(const executor::RunningTask& task) {
  say(paint(Colour::Blue, "▶ ") + task.label +
      (task.attempt > 0 ? " (retry " + std::to_string(task.attempt) + ")" : ""));
}

void RunPrinter::step_output(const executor::RunningTask& task, const steps::StepSpec& step, bool,
                             std::string_view bytes) {
  const std::string prefix = prefix_of(task.label, step.name);
  std::string& line = partial_[prefix];
  while (!bytes.empty()) {
    const size_t end = bytes.find('\n');
    line += bytes.substr(0, end);
    if (end == std::string_view::npos) return;
    bytes.remove_prefix(end + 1);
    if (line.find("CACHED") != std::string::npos || line.find("reused") != std::string::npos)
      ++cached_[task.label];
    say(paint(Colour::Dim, prefix) + line);
    line.clear();
  }
}

void RunPrinter::flush(const std::string& prefix) {
  const auto found = partial_.find(prefix);
  if (found == partial_.end()) return;
  if (!found->second.empty()) say(paint(Colour::Dim, prefix) + found->second);
  partial_.erase(found);
}

void RunPrinter::step_finished(const executor::RunningTask& task, const steps::StepOutcome& outcome) {
  flush(prefix_of(task.label, outcome.name));
}

void RunPrinter::task_finished(const executor::RunningTask& task, const executor::TaskRunState& state) {
  if (state.phase == Phase::Succeeded)
    say(paint(Colour::Green, "✔ ") + task.label + "  " +
        (state.message.starts_with("reused from") ? state.message : duration(state)));
  else if (state.phase == Phase::Ready)
    say(paint(Colour::Yellow, "↻ ") + task.label + "  " + state.message);
  else
    say(paint(Colour::Red, "✘ ") + task.label + "  " + duration(state) + "  " + state.message);
}

void RunPrinter::task_skipped(const executor::RunningTask& task, std::string_view reason) {
  say(paint(Colour::Yellow, "– ") + task.label + "  skipped: " + std::string(reason));
}

// The step that failed, its last lines, and where the whole log is.
void RunPrinter::show_failure(const executor::RunRecord& run, const std::string& label,
                              const executor::TaskRunState& task) const {
  for (const executor::StepRecord& step : task.steps) {
    if (step.exit_code == 0 || step.reason == "Skipped" || step.reason == "Continued") continue;
    const fs::path log = executor::log_file(dirs_, run.id, label, task.attempt, step.name);
    say("\n" + paint(Colour::Red, label + " : " + step.name) + " exited with code " +
        std::to_string(step.exit_code) + "; its last lines:");
    for (const std::string& line : split(trim(tail(log, 12)), '\n')) say("  " + line);
    say("  whole log: " + log.string());
    return;
  }
}

void RunPrinter::summary(const executor::RunEnd& end, const dag::Plan& plan, bool print_results) {
  const executor::State& state = end.state;
  std::vector<std::vector<std::string>> rows;
  for (size_t i = 0; i < plan.tasks.size(); ++i)
    for (size_t k = 0; k < state.tasks[i].run_count(); ++k) {
      const executor::TaskRunState& t = state.tasks[i].run(k);
      const std::string label =
          state.tasks[i].runs.empty() ? plan.tasks[i].name : executor::task_run_label(plan.tasks[i], k);
      const auto cached = cached_.find(label);
      rows.push_back({"  " + label, std::string(to_string(t.phase)),
                      t.phase == Phase::Skipped || t.started == Time{} ? "" : duration(t),
                      cached != cached_.end() && t.phase == Phase::Succeeded
                          ? "CACHED ×" + std::to_string(cached->second)
                          : ""});
    }
  say("");
  std::string text = table(rows);
  say(std::string_view(text).substr(0, text.size() - 1));
  const bool good = state.succeeded();
  say(paint(good ? Colour::Green : Colour::Red, state.reason) + "  " + end.run.id + "  " +
      format_seconds(seconds(state.finished - state.started)) + "  " + state.message);

  for (size_t i = 0; i < plan.tasks.size(); ++i)
    for (size_t k = 0; k < state.tasks[i].run_count(); ++k)
      if (state.tasks[i].run(k).phase == Phase::Failed)
        show_failure(end.run, executor::task_run_label(plan.tasks[i], k), state.tasks[i].run(k));
  const bool some_succeeded =
      std::any_of(state.tasks.begin(), state.tasks.begin() + static_cast<ptrdiff_t>(plan.dag_size),
                  [](const executor::TaskState& task) { return task.phase == Phase::Succeeded; });
  if (!good) say("run it again: kiln runs rerun " + end.run.id + (some_succeeded ? " --from-failed" : ""));
  if (!print_results) return;
  for (const auto& [name, value] :
       dag::resolve_results(plan, executor::StateFacts(plan, state), {end.run.id, end.run.uid, "default"}))
    print(name + "\t" + (value.type == dag::ParamType::String ? value.text : "[…]") + "\n");
}

}  // namespace kiln::cli
