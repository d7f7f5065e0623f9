#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "cli/run_printer.h"

namespace kiln::cli {

// `bytes` cut into lines, "prefix" before each; `partial` is the line that was not complete, before and
// after. Appends to `out`.
void prefix_lines(std::string_view prefix, std::string_view bytes, std::string& partial, std::string& out);

// Plain lines on stderr. Nothing is held back but incomplete lines.
class PlainPrinter final : public RunPrinter {
 public:
  PlainPrinter();

  void note(const std::string& words) override;
  void close() override { heartbeat_ = {}; }
  void run_started(const executor::RunRecord& run, const dag::Plan& plan) override;
  void task_started(const executor::RunningTask& task) override;
  void step_started(const executor::RunningTask& task, const steps::StepSpec& step) override;
  void step_finished(const executor::RunningTask& task, const steps::StepOutcome& outcome) override;
  void task_finished(const executor::RunningTask& task, const executor::TaskRunState& state) override;
  void task_skipped(const executor::RunningTask& task, std::string_view reason) override;

 protected:
  void output(const executor::RunningTask& task, const steps::StepSpec& step, bool is_stderr,
              std::string_view bytes) override;

 private:
  void say(const std::string& line);
  void beat(std::stop_token stop);
  std::string heartbeat_words();

  std::map<std::string, std::string> partial_;  // prefix → the line so far
  std::string buffer_;
  std::atomic<bool> spoke_ = false;             // since the heart last beat
  std::mutex mutex_;                            // guards running_
  std::map<std::string, std::string> running_;  // task → step
  std::jthread heartbeat_;
};

}  // namespace kiln::cli
