#include "cli/json_printer.h"

#include <nlohmann/json.hpp>

#include "cli/lines.h"
#include "cli/terminal.h"

namespace kiln::cli {
namespace {

using nlohmann::json;

// What is no UTF-8 is replaced: an event is always valid JSON.
std::string line_of(std::string_view event, json fields) {
  fields["event"] = event;
  fields["time"] = format_rfc3339_nano(system_clock().now());
  return fields.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

void emit(std::string_view event, json fields) {
  write_words(line_of(event, std::move(fields)));
}

}  // namespace

void JsonPrinter::note(const std::string& words) {
  emit("note", {{"message", words}});
}

void JsonPrinter::run_started(const executor::RunRecord& run, const dag::Plan& plan) {
  emit("run-started", {{"run", run.id},
                       {"uid", run.uid},
                       {"kind", plan.kind_name()},
                       {"name", plan.name},
                       {"tasks", plan.tasks.size()}});
}

void JsonPrinter::task_started(const executor::RunningTask& task) {
  emit("task-started", {{"task", task.label}, {"attempt", task.attempt}});
}

void JsonPrinter::step_started(const executor::RunningTask& task, const steps::StepSpec& step) {
  emit("step-started", {{"task", task.label}, {"step", step.name}, {"image", step.image}});
}

void JsonPrinter::add_line(const std::string& task, const std::string& step, bool is_stderr,
                           std::string_view text) {
  buffer_ += line_of("output", {{"task", task},
                                {"step", step},
                                {"stream", is_stderr ? "stderr" : "stdout"},
                                {"text", std::string(text)}});
}

void JsonPrinter::output(const executor::RunningTask& task, const steps::StepSpec& step, bool is_stderr,
                         std::string_view bytes) {
  for_each_line(partial_[{task.label, step.name, is_stderr}], bytes,
                [&](std::string_view line, bool) { add_line(task.label, step.name, is_stderr, line); });
  write_words(buffer_);
  buffer_.clear();
}

void JsonPrinter::step_finished(const executor::RunningTask& task, const steps::StepOutcome& outcome) {
  for (const bool is_stderr : {false, true}) {
    const auto found = partial_.find({task.label, outcome.name, is_stderr});
    if (found == partial_.end()) continue;
    if (!found->second.empty()) add_line(task.label, outcome.name, is_stderr, found->second);
    partial_.erase(found);
  }
  buffer_ += line_of("step-finished", {{"task", task.label},
                                       {"step", outcome.name},
                                       {"exitCode", outcome.exit_code},
                                       {"reason", steps::to_string(outcome.reason)},
                                       {"message", outcome.message},
                                       {"seconds", seconds(outcome.finished - outcome.started)}});
  write_words(buffer_);
  buffer_.clear();
}

void JsonPrinter::task_finished(const executor::RunningTask& task, const executor::TaskRunState& state) {
  const bool again = state.phase == executor::Phase::Ready && !state.retries.empty();
  emit("task-finished",
       {{"task", task.label},
        {"attempt", task.attempt},
        {"state", again ? "Retried" : to_string(state.phase)},
        {"reason", again ? state.retries.back().outcome.reason : state.reason},
        {"message", again ? state.retries.back().outcome.message : state.message},
        {"seconds", seconds(again ? state.retries.back().finished - state.retries.back().started
                                  : state.finished - state.started)}});
}

void JsonPrinter::task_skipped(const executor::RunningTask& task, std::string_view reason) {
  emit("task-skipped", {{"task", task.label}, {"reason", reason}});
}

void JsonPrinter::run_finished(const executor::RunRecord& run, const executor::State& state) {
  emit("run-finished", {{"run", run.id},
                        {"succeeded", state.succeeded()},
                        {"reason", state.reason},
                        {"message", state.message},
                        {"seconds", seconds(state.finished - state.started)}});
}

}  // namespace kiln::cli
