#pragma once

#include <map>
#include <memory>
#include <string>

#include "executor/driver.h"

namespace kiln::cli {

// Tells of a run as it goes on, in one of several ways (--progress):
//   tty    a live list at the lower end of the terminal, ended tasks above it
//   plain  lines: "[task : step] output", starts and ends with durations; after 30 s of silence, what runs
//   json   one object a line, on stderr (docs/progress.md)
//   quiet  nothing
// What a run comes to is told afterwards, by run_summary.h.
class RunPrinter : public executor::RunObserver {
 public:
  // A word that is about no task. Any thread, also while something is observed.
  virtual void note(const std::string& words) = 0;
  // Ends what is drawn or waits; nothing may be observed any more.
  virtual void close() {}
  // Whether a summary in words is to follow.
  virtual bool wants_summary() const { return true; }

  // Work that steps of `image: kiln` said they did not do again, by task.
  const std::map<std::string, int>& cached() const { return cached_; }

  void run_waits(const executor::RunRecord& run, std::string_view other) final;
  void step_output(const executor::RunningTask& task, const steps::StepSpec& step, bool is_stderr,
                   std::string_view bytes) final;

 protected:
  virtual void output(const executor::RunningTask& task, const steps::StepSpec& step, bool is_stderr,
                      std::string_view bytes) = 0;

 private:
  std::map<std::string, int> cached_;
};

// `progress` is auto, tty, plain, json or quiet; throws Usage for others. "auto" is tty where lines can be
// drawn again, else plain.
std::unique_ptr<RunPrinter> make_run_printer(const std::string& progress);

}  // namespace kiln::cli
