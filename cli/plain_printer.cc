#include "cli/plain_printer.h"

#include <algorithm>
#include <chrono>

#include "base/clock.h"
#include "base/text.h"
#include "cli/task_words.h"
#include "cli/terminal.h"

namespace kiln::cli {
namespace {

constexpr auto kSilence = std::chrono::seconds(30);
// So much is put together before it is written: what prefixes make of many short lines is not held in memory.
constexpr size_t kWrite = 256 << 10;
constexpr size_t kLongestPartial = 1 << 20;  // a line that never ends is written in parts

std::string prefix_of(const std::string& task, const std::string& step) {
  return paint(Colour::Dim, "[" + task + " : " + step + "] ");
}

}  // namespace

void prefix_lines(std::string_view prefix, std::string_view bytes, std::string& partial, std::string& out) {
  while (!bytes.empty()) {
    const size_t end = bytes.find('\n');
    if (end == std::string_view::npos) {
      partial += bytes;
      if (partial.size() > kLongestPartial) prefix_lines(prefix, "\n", partial, out);
      return;
    }
    out += prefix;
    out += partial;
    out += bytes.substr(0, end + 1);
    partial.clear();
    bytes.remove_prefix(end + 1);
  }
}

PlainPrinter::PlainPrinter() : heartbeat_([this](std::stop_token stop) { beat(stop); }) {}

void PlainPrinter::say(const std::string& line) {
  spoke_ = true;
  cli::say(line);
}

void PlainPrinter::note(const std::string& words) {
  say("note: " + words);
}

void PlainPrinter::run_started(const executor::RunRecord& run, const dag::Plan& plan) {
  say(started_words(run, plan));
}

void PlainPrinter::task_started(const executor::RunningTask& task) {
  say(paint(Colour::Blue, "▶ ") + task.label +
      (task.attempt > 0 ? " (retry " + std::to_string(task.attempt) + ")" : ""));
  const std::lock_guard lock(mutex_);
  running_[task.label];
}

void PlainPrinter::step_started(const executor::RunningTask& task, const steps::StepSpec& step) {
  const std::lock_guard lock(mutex_);
  running_[task.label] = step.name;
}

void PlainPrinter::output(const executor::RunningTask& task, const steps::StepSpec& step, bool,
                          std::string_view bytes) {
  const std::string prefix = prefix_of(task.label, step.name);
  std::string& partial = partial_[prefix];
  constexpr size_t kPart = 64 << 10;
  for (; !bytes.empty(); bytes.remove_prefix(std::min(bytes.size(), kPart))) {
    prefix_lines(prefix, bytes.substr(0, kPart), partial, buffer_);
    if (buffer_.size() < kWrite && bytes.size() > kPart) continue;
    write_words(buffer_);
    buffer_.clear();
  }
  spoke_ = true;
}

void PlainPrinter::step_finished(const executor::RunningTask& task, const steps::StepOutcome& outcome) {
  const auto found = partial_.find(prefix_of(task.label, outcome.name));
  if (found == partial_.end()) return;
  if (!found->second.empty()) say(found->first + found->second);
  partial_.erase(found);
}

void PlainPrinter::task_finished(const executor::RunningTask& task, const executor::TaskRunState& state) {
  say(ended_words(task.label, state));
  const std::lock_guard lock(mutex_);
  running_.erase(task.label);
}

void PlainPrinter::task_skipped(const executor::RunningTask& task, std::string_view reason) {
  say(skipped_words(task.label, reason));
}

// CI systems end a job that says nothing for long; people think that it hangs.
void PlainPrinter::beat(std::stop_token stop) {
  constexpr auto kLook = std::chrono::seconds(1);
  auto silent = std::chrono::steady_clock::duration::zero();
  while (pause(stop, kLook)) {
    silent = spoke_.exchange(false) ? silent.zero() : silent + kLook;
    if (silent < kSilence) continue;
    silent = silent.zero();
    cli::say(heartbeat_words());
  }
}

std::string PlainPrinter::heartbeat_words() {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> tasks;
  for (const auto& [task, step] : running_) tasks.push_back(step.empty() ? task : task + " : " + step);
  return paint(Colour::Dim, tasks.empty() ? "… waiting" : "… still running: " + join(tasks, ", "));
}

}  // namespace kiln::cli
