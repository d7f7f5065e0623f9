#pragma once

#include <chrono>
#include <mutex>
#include <string>

#include "base/error.h"
#include "steps/pod.h"
#include "steps/pod_folder.h"
#include "steps/pod_network.h"
#include "steps/sidecars.h"
#include "steps/step_image.h"
#include "steps/step_world.h"

namespace kiln::steps {

// One run of one pod: what LocalPods::run does, with the images behind a function. Used once.
class PodRun {
 public:
  PodRun(SandboxRuntime& runtime, const ImageSource& images, const LocalPods::Options& options,
         const PodSpec& spec, PodObserver& observer, std::stop_token stop, Duration timeout);
  PodOutcome run();

 private:
  enum class Stage { Starting, Running, Ended };  // of a step

  std::string image_problem(const StepSpec& step) const;
  void resolve_images();
  void prepare_network();
  void start_sidecars(Sidecars& sidecars);
  void run_steps();
  StepOutcome run_step(size_t index);
  void run_process(size_t index, const StepSpec& step, StepOutcome& outcome, Stage& stage);
  void fail_step(const StepSpec& step, const Error& error, Stage stage, StepOutcome& outcome);
  void conclude(size_t index, const RunResult& result, bool pod_time, StepOutcome& outcome);
  void read_outputs(size_t index, StepOutcome& outcome);
  void read_results();
  std::string size_problem(const std::string& what, uint64_t size) const;
  // One call of the observer at a time.
  void output(size_t index, bool is_stderr, std::string_view bytes);
  // The first failure is the pod's.
  void fail(std::string reason, std::string message, bool infrastructure = false);
  Duration time_left() const;  // zero: no limit; never less than 1 ns otherwise

  SandboxRuntime& runtime_;
  const ImageSource& images_;
  const LocalPods::Options& options_;
  const PodSpec& spec_;
  PodObserver& observer_;
  std::stop_token stop_;
  std::optional<std::chrono::steady_clock::time_point> deadline_;
  Duration timeout_;
  PodFolder folder_;
  StepWorld world_;
  std::optional<PodNetwork> network_;
  std::mutex observing_;              // sidecars have threads of their own
  std::vector<StepImage> images_of_;  // of steps, then of sidecars; empty for `kiln` and `host`
  PodOutcome outcome_;
  bool failed_ = false;
};

}  // namespace kiln::steps
