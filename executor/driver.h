#pragma once

#include <filesystem>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/dirs.h"
#include "executor/journal.h"
#include "executor/pod_runner.h"
#include "executor/scheduler.h"
#include "executor/state.h"

namespace kiln::executor {

// A TaskRun under way, as observers hear of it.
struct RunningTask {
  const dag::PlannedTask& task;
  size_t run = 0;
  int attempt = 0;
  size_t runs = 0;  // of its matrix
  // What to call it: "build", "build-2" of a matrix, "inner/build" in a pipeline inside the pipeline. Also
  // the start of its log folder's name.
  std::string label;
};

// What happens in a run, as it happens, for printing. Calls come from several threads, one at a time; they
// should return soon, since the steps' output waits meanwhile. Durations are in the State.
class RunObserver {
 public:
  virtual ~RunObserver() = default;
  virtual void run_started(const RunRecord&, const dag::Plan&) {}
  // It does not go on before `other` has ended: they are of one concurrency group.
  virtual void run_waits(const RunRecord&, std::string_view /*other*/) {}
  virtual void task_started(const RunningTask&) {}
  virtual void step_started(const RunningTask&, const steps::StepSpec&) {}
  // Bytes as they came, not lines.
  virtual void step_output(const RunningTask&, const steps::StepSpec&, bool /*is_stderr*/, std::string_view) {
  }
  virtual void step_finished(const RunningTask&, const steps::StepOutcome&) {}
  // Also for a failed attempt that will be retried: then state.phase is Ready.
  virtual void task_finished(const RunningTask&, const TaskRunState&) {}
  virtual void task_skipped(const RunningTask&, std::string_view /*reason*/) {}
  virtual void run_finished(const RunRecord&, const State&) {}
};

struct RunOptions {
  size_t jobs = 0;       // 0: one per CPU, at least 2
  std::stop_token stop;  // first Ctrl-C: cancel, then run `finally` (CancelledRunFinally)
  std::stop_token kill;  // second Ctrl-C: end everything now (Cancelled)
  // End what runs without a word in the journal, so that resume() can carry the run on.
  std::stop_token leave = {};
  bool allow_host_image = false;
  steps::Network network = steps::Network::Host;
  // Of an earlier run: what is not run again, and the folder of its workspaces, used on as it is.
  Reusable reuse = {};
  std::filesystem::path workspaces = {};
  bool allow_privileged = false;
  std::vector<std::filesystem::path> host_paths = {};  // hostPath volumes may be these and what is below
};

struct RunEnd {
  RunRecord run;
  State state;            // has_finished: false when it was left
  int exit_code() const;  // README.md, "Exit codes"
};

// Runs plans: the scheduler's decisions become pods, and their ends become events. Every event is in the
// journal before anything is done about it. Logs go whole to runs/<id>/logs/<task>.<attempt>/<step>.log.
// Thread-safe: many runs at once.
class Driver {
 public:
  Driver(Journal& journal, PodRunner& pods, const Dirs& dirs, const Clock& clock = system_clock())
      : journal_(journal), pods_(pods), dirs_(dirs), clock_(clock) {}

  // Blocks until the run has ended, well or not. Throws only when the run cannot be recorded (disk,
  // database).
  RunEnd run(const dag::Plan& plan, RunObserver& observer, const RunOptions& options = {});

  // Carries on a run of the journal: from its beginning when it has no events, else from where it was. What
  // has ended stays as it ended; what ran when its kiln died starts again as the same attempt; timeouts go on
  // counting from when they began. Throws Failed when a process carries it on already.
  RunEnd resume(const RunRecord& run, const dag::Plan& plan, RunObserver& observer,
                const RunOptions& options = {});

 private:
  Journal& journal_;
  PodRunner& pods_;
  const Dirs& dirs_;
  const Clock& clock_;
};

// "build", or "build-2" of a matrix.
std::string task_run_label(const dag::PlannedTask& task, size_t run, size_t runs);

// What an attempt's folders are called, below logs/ and cache/: "build.0".
std::string attempt_folder(std::string_view task_run, int attempt);

// The log of one step of one attempt.
std::filesystem::path log_file(const Dirs& dirs, std::string_view run, std::string_view task_run, int attempt,
                               std::string_view step);

}  // namespace kiln::executor
