#include "executor/step_log.h"

#include <fcntl.h>

#include "base/failpoint.h"
#include "base/fs.h"

namespace kiln::executor {

StepLog::StepLog(const RunningTask& task, const steps::PodSpec& pod, const fs::path& folder,
                 RunObserver& observer, std::mutex& observing, std::stop_source& stop,
                 const SecretMask& secrets, const Clock& clock)
    : task_(task),
      pod_(pod),
      observer_(observer),
      observing_(observing),
      stop_(stop),
      secrets_(secrets),
      clock_(clock) {
  make_dirs(folder);
  for (const steps::StepSpec& sidecar : pod.sidecars) {
    sidecars_.push_back(sidecar);
    sidecars_.back().name = "sidecar-" + sidecar.name;
  }
  const auto open = [&](const steps::StepSpec& spec) {
    const fs::path log = folder / (spec.name + ".log");
    files_.push_back({&spec,
                      open_file(log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600),
                      LogTimesWriter(folder / (spec.name + ".times")),
                      0,
                      {SecretStream(secrets), SecretStream(secrets)}});
  };
  for (const steps::StepSpec& step : pod.steps) open(step);
  for (const steps::StepSpec& sidecar : sidecars_) open(sidecar);
}

void StepLog::step_started(size_t, const steps::StepSpec& spec) {
  const std::lock_guard lock(observing_);
  observer_.step_started(task_, spec);
}

void StepLog::step_output(size_t step, bool is_stderr, std::string_view bytes) {
  feed(files_.at(step), is_stderr, bytes);
}

void StepLog::step_finished(size_t step, const steps::StepOutcome& outcome) {
  finish(files_.at(step));
  steps::StepOutcome shown = outcome;
  shown.message = secrets_.masked(shown.message);
  const std::lock_guard lock(observing_);
  observer_.step_finished(task_, shown);
}

void StepLog::sidecar_output(size_t sidecar, bool is_stderr, std::string_view bytes) {
  feed(files_.at(pod_.steps.size() + sidecar), is_stderr, bytes);
}

void StepLog::sidecar_finished(size_t sidecar, const steps::StepOutcome&) {
  finish(files_.at(pod_.steps.size() + sidecar));
}

void StepLog::feed(File& file, bool is_stderr, std::string_view bytes) {
  file.streams[is_stderr].feed(bytes, [&](std::string_view part) { take(file, is_stderr, part); });
}

void StepLog::finish(File& file) {
  for (const bool is_stderr : {false, true})
    file.streams[is_stderr].finish([&](std::string_view part) { take(file, is_stderr, part); });
}

void StepLog::take(File& file, bool is_stderr, std::string_view bytes) {
  if (bytes.empty()) return;
  write(file, is_stderr, bytes);
  const std::lock_guard lock(observing_);
  observer_.step_output(task_, *file.spec, is_stderr, bytes);
}

void StepLog::write(File& file, bool is_stderr, std::string_view bytes) {
  if (problem_) return;
  failpoint("log.write");
  try {
    file.times.note(file.size, is_stderr, clock_.now());
    write_all(file.log.get(), bytes, "log of task " + task_.label);
    file.size += bytes.size();
  } catch (const Error& e) {
    problem_ = e;
    stop_.request_stop();
  }
}

}  // namespace kiln::executor
