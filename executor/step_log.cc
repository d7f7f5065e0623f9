#include "executor/step_log.h"

#include <fcntl.h>

#include "base/failpoint.h"
#include "base/fs.h"

namespace kiln::executor {

StepLog::StepLog(const RunningTask& task, const steps::PodSpec& pod, const fs::path& folder,
                 RunObserver& observer, std::mutex& observing, std::stop_source& stop)
    : task_(task), pod_(pod), observer_(observer), observing_(observing), stop_(stop) {
  make_dirs(folder);
  for (const steps::StepSpec& step : pod.steps)
    files_.push_back(open_file(folder / (step.name + ".log"), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600));
}

void StepLog::step_started(size_t, const steps::StepSpec& spec) {
  const std::lock_guard lock(observing_);
  observer_.step_started(task_, spec);
}

void StepLog::step_output(size_t step, bool is_stderr, std::string_view bytes) {
  write(step, bytes);
  const std::lock_guard lock(observing_);
  observer_.step_output(task_, pod_.steps.at(step), is_stderr, bytes);
}

void StepLog::step_finished(size_t, const steps::StepOutcome& outcome) {
  const std::lock_guard lock(observing_);
  observer_.step_finished(task_, outcome);
}

void StepLog::write(size_t step, std::string_view bytes) {
  if (problem_) return;
  failpoint("log.write");
  try {
    write_all(files_.at(step).get(), bytes, "log of task " + task_.label);
  } catch (const Error& e) {
    problem_ = e;
    stop_.request_stop();
  }
}

}  // namespace kiln::executor
