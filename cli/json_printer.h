#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "cli/run_printer.h"

namespace kiln::cli {

// One JSON object a line on stderr for everything that happens, for programs: docs/progress.md has every
// field.
class JsonPrinter final : public RunPrinter {
 public:
  void note(const std::string& words) override;
  bool wants_summary() const override { return false; }
  void run_started(const executor::RunRecord& run, const dag::Plan& plan) override;
  void task_started(const executor::RunningTask& task) override;
  void step_started(const executor::RunningTask& task, const steps::StepSpec& step) override;
  void step_finished(const executor::RunningTask& task, const steps::StepOutcome& outcome) override;
  void task_finished(const executor::RunningTask& task, const executor::TaskRunState& state) override;
  void task_skipped(const executor::RunningTask& task, std::string_view reason) override;
  void run_finished(const executor::RunRecord& run, const executor::State& state) override;

 protected:
  void output(const executor::RunningTask& task, const steps::StepSpec& step, bool is_stderr,
              std::string_view bytes) override;

 private:
  void add_line(const std::string& task, const std::string& step, bool is_stderr, std::string_view text);

  // (task, step, is stderr) → the line that is not complete
  std::map<std::tuple<std::string, std::string, bool>, std::string> partial_;
  std::string buffer_;
};

}  // namespace kiln::cli
