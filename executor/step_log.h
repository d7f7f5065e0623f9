#pragma once

#include <array>
#include <filesystem>
#include <mutex>
#include <optional>
#include <stop_token>
#include <vector>

#include "base/error.h"
#include "base/secret_mask.h"
#include "base/unique_fd.h"
#include "executor/driver.h"
#include "executor/step_times.h"

// Used by task_job.cc only.
namespace kiln::executor {

// Writes one pod's output to its log files, and hands it on: `<folder>/<step>.log` holds the bytes as they
// came, but for secrets, and `<step>.times` when they came and from which stream; of a sidecar likewise,
// where it is called "sidecar-NAME", to the observer too. A log that cannot be written (disk full) ends the
// pod: output must not be lost without a word.
class StepLog final : public steps::PodObserver {
 public:
  // `observing` allows one call of the observer at a time. Throws when the files cannot be made.
  StepLog(const RunningTask& task, const steps::PodSpec& pod, const std::filesystem::path& folder,
          RunObserver& observer, std::mutex& observing, std::stop_source& stop, const SecretMask& secrets,
          const Clock& clock);

  void step_started(size_t step, const steps::StepSpec& spec) override;
  void step_output(size_t step, bool is_stderr, std::string_view bytes) override;
  void step_finished(size_t step, const steps::StepOutcome& outcome) override;
  void sidecar_output(size_t sidecar, bool is_stderr, std::string_view bytes) override;
  void sidecar_finished(size_t sidecar, const steps::StepOutcome& outcome) override;

  // Why the log is not whole.
  const std::optional<Error>& problem() const { return problem_; }

 private:
  struct File {
    const steps::StepSpec* spec;
    UniqueFd log;
    LogTimesWriter times;
    uint64_t size = 0;
    std::array<SecretStream, 2> streams;  // stdout, stderr
  };
  void feed(File& file, bool is_stderr, std::string_view bytes);
  void finish(File& file);
  void take(File& file, bool is_stderr, std::string_view bytes);
  void write(File& file, bool is_stderr, std::string_view bytes);

  const RunningTask& task_;
  const steps::PodSpec& pod_;
  RunObserver& observer_;
  std::mutex& observing_;
  std::stop_source& stop_;
  const SecretMask& secrets_;
  const Clock& clock_;
  std::vector<steps::StepSpec> sidecars_;  // as the observer knows them
  std::vector<File> files_;                // of steps, then of sidecars
  std::optional<Error> problem_;
};

}  // namespace kiln::executor
