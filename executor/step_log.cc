#include "executor/step_log.h"

#include <algorithm>
#include <fcntl.h>

#include "base/fs.h"

namespace kiln::executor {

StepLog::StepLog(const RunningTask& task, const steps::PodSpec& pod, const fs::path& folder,
                 RunObserver& observer, std::mutex& observing, std::stop_source& stop)
    : task_(task), pod_(pod), observer_(observer), observing_(observing), stop_(stop) {
  make_dirs(folder);
  const auto open = [&](const steps::StepSpec& spec) {
    files_.push_back(open_file(folder / (spec.name + ".log"), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600));
  };
  for (const steps::StepSpec& sidecar : pod.sidecars) {
    sidecars_.push_back(sidecar);
    sidecars_.back().name = "sidecar-" + sidecar.name;
  }
  std::ranges::for_each(pod.steps, open);
  std::ranges::for_each(sidecars_, open);
}

void StepLog::step_started(size_t, const steps::StepSpec& spec) {
  const std::lock_guard lock(observing_);
  observer_.step_started(task_, spec);
}

void StepLog::step_output(size_t step, bool is_stderr, std::string_view bytes) {
  take(step, pod_.steps.at(step), is_stderr, bytes);
}

void StepLog::sidecar_output(size_t sidecar, bool is_stderr, std::string_view bytes) {
  take(pod_.steps.size() + sidecar, sidecars_.at(sidecar), is_stderr, bytes);
}

void StepLog::take(size_t file, const steps::StepSpec& spec, bool is_stderr, std::string_view bytes) {
  write(file, bytes);
  const std::lock_guard lock(observing_);
  observer_.step_output(task_, spec, is_stderr, bytes);
}

void StepLog::step_finished(size_t, const steps::StepOutcome& outcome) {
  const std::lock_guard lock(observing_);
  observer_.step_finished(task_, outcome);
}

void StepLog::write(size_t file, std::string_view bytes) {
  if (problem_) return;
  try {
    write_all(files_.at(file).get(), bytes, "log of task " + task_.label);
  } catch (const Error& e) {
    problem_ = e;
    stop_.request_stop();
  }
}

}  // namespace kiln::executor
