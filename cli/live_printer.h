#pragma once

#include <mutex>
#include <optional>

#include "cli/run_printer.h"
#include "cli/screen.h"

namespace kiln::cli {

// The live list on a terminal.
class LivePrinter final : public RunPrinter {
 public:
  LivePrinter();

  void note(const std::string& words) override { screen_->print_above("note: " + words); }
  void close() override { screen_.reset(); }
  void run_started(const executor::RunRecord& run, const dag::Plan& plan) override;
  void task_started(const executor::RunningTask& task) override;
  void step_started(const executor::RunningTask& task, const steps::StepSpec& step) override;
  void task_finished(const executor::RunningTask& task, const executor::TaskRunState& state) override;
  void task_skipped(const executor::RunningTask& task, std::string_view reason) override;

 protected:
  void output(const executor::RunningTask& task, const steps::StepSpec& step, bool is_stderr,
              std::string_view bytes) override;

 private:
  // Calls `change(list)` and has it drawn.
  template <class Change>
  void update(Change change);

  std::mutex mutex_;  // guards list_
  LiveList list_;
  std::optional<Screen> screen_;  // last: its thread draws the list
};

}  // namespace kiln::cli
