#include "executor/driver.h"

#include "base/error.h"
#include "executor/live_run.h"

namespace kiln::executor {

std::string task_run_label(const dag::PlannedTask& task, size_t run, size_t runs) {
  return runs > 1 ? task.name + "-" + std::to_string(run) : task.name;
}

std::string attempt_folder(std::string_view task_run, int attempt) {
  return std::string(task_run) + "." + std::to_string(attempt);
}

std::filesystem::path log_file(const Dirs& dirs, std::string_view run, std::string_view task_run, int attempt,
                               std::string_view step) {
  return dirs.runs() / run / "logs" / attempt_folder(task_run, attempt) / (std::string(step) + ".log");
}

int RunEnd::exit_code() const {
  if (state.succeeded()) return 0;
  if (state.cancel != Cancel::No || state.reason == "Cancelled") return kiln::exit_code(ErrorKind::Cancelled);
  if (state.pipeline_timed_out || state.tasks_timed_out || state.finally_timed_out)
    return kiln::exit_code(ErrorKind::TimedOut);
  for (const TaskState& task : state.tasks)
    if (task.phase == Phase::Failed && !task.ignored) {
      if (task.infrastructure) return kiln::exit_code(ErrorKind::Infrastructure);
      if (task.reason == "TaskRunTimeout" || task.reason == "CustomRunTimedOut" ||
          task.reason == "PipelineRunTimeout")
        return kiln::exit_code(ErrorKind::TimedOut);
    }
  return kiln::exit_code(ErrorKind::Failed);
}

RunEnd Driver::run(const dag::Plan& plan, RunObserver& observer, const RunOptions& options) {
  return resume(journal_.create(plan, clock_.now()), plan, observer, options);
}

RunEnd Driver::resume(const RunRecord& run, const dag::Plan& plan, RunObserver& observer,
                      const RunOptions& options) {
  return LiveRun({journal_, pods_, dirs_, clock_}, plan, run, observer, options)
      .run(options.stop, options.kill);
}

}  // namespace kiln::executor
