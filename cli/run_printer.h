#pragma once

#include <chrono>
#include <map>
#include <string>

#include "base/dirs.h"
#include "executor/driver.h"

namespace kiln::cli {

// Tells a person what a run does, in plain lines: "[task : step] output", starts and ends with durations, and
// a summary. Nothing is held back but incomplete lines.
class RunPrinter final : public executor::RunObserver {
 public:
  explicit RunPrinter(const Dirs& dirs) : dirs_(dirs) {}

  void run_started(const executor::RunRecord& run, const dag::Plan& plan) override;
  void run_waits(const executor::RunRecord& run, std::string_view other) override;
  void task_started(const executor::RunningTask& task) override;
  void step_output(const executor::RunningTask& task, const steps::StepSpec& step, bool is_stderr,
                   std::string_view bytes) override;
  void step_finished(const executor::RunningTask& task, const steps::StepOutcome& outcome) override;
  void task_finished(const executor::RunningTask& task, const executor::TaskRunState& state) override;
  void task_skipped(const executor::RunningTask& task, std::string_view reason) override;

  // After the end: what each task took, what failed and how to go on; results to stdout if wanted.
  void summary(const executor::RunEnd& end, const dag::Plan& plan, bool print_results);

 private:
  void flush(const std::string& prefix);
  void show_failure(const executor::RunRecord& run, const std::string& label,
                    const executor::TaskRunState& task) const;

  const Dirs& dirs_;
  std::map<std::string, std::string> partial_;  // prefix → the line so far
  std::map<std::string, int> cached_;           // task → lines that said CACHED or reused
};

}  // namespace kiln::cli
