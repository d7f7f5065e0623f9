#pragma once

#include <filesystem>
#include <mutex>
#include <optional>
#include <stop_token>
#include <vector>

#include "base/error.h"
#include "base/unique_fd.h"
#include "executor/driver.h"

// Used by task_job.cc only.
namespace kiln::executor {

// Writes one pod's output to its log files (`<folder>/<step>.log`, `<folder>/sidecar-<name>.log`) and hands
// it on; to the observer a sidecar is a step of that name. A log that cannot be written (disk full) ends the
// pod: output must not be lost without a word.
class StepLog final : public steps::PodObserver {
 public:
  // `observing` allows one call of the observer at a time. Throws when the files cannot be made.
  StepLog(const RunningTask& task, const steps::PodSpec& pod, const std::filesystem::path& folder,
          RunObserver& observer, std::mutex& observing, std::stop_source& stop);

  void step_started(size_t step, const steps::StepSpec& spec) override;
  void step_output(size_t step, bool is_stderr, std::string_view bytes) override;
  void step_finished(size_t step, const steps::StepOutcome& outcome) override;
  void sidecar_output(size_t sidecar, bool is_stderr, std::string_view bytes) override;

  // Why the log is not whole.
  const std::optional<Error>& problem() const { return problem_; }

 private:
  void take(size_t file, const steps::StepSpec& spec, bool is_stderr, std::string_view bytes);
  void write(size_t file, std::string_view bytes);

  const RunningTask& task_;
  const steps::PodSpec& pod_;
  RunObserver& observer_;
  std::mutex& observing_;
  std::stop_source& stop_;
  std::vector<steps::StepSpec> sidecars_;  // as the observer knows them
  std::vector<UniqueFd> files_;            // of steps, then of sidecars
  std::optional<Error> problem_;
};

}  // namespace kiln::executor
