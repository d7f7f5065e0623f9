#pragma once

#include <chrono>
#include <string>

#include "steps/pod.h"
#include "steps/pod_folder.h"
#include "steps/step_image.h"
#include "steps/variables.h"

namespace kiln::steps {

// One run of one pod: what LocalPods::run does, with the images behind a function. Used once.
class PodRun {
 public:
  PodRun(SandboxRuntime& runtime, const ImageSource& images, const LocalPods::Options& options,
         const PodSpec& spec, PodObserver& observer, std::stop_token stop, Duration timeout);
  PodOutcome run();
  // Instead of run(): the sandbox of one step, with its script written. Throws Invalid when an image cannot be
  // had.
  SandboxSpec sandbox_for(size_t index);

 private:
  bool resolve_images();
  SandboxSpec sandbox_of(size_t index);
  void set_image_world(size_t index, SandboxSpec& sandbox, const Variables& variables);
  void set_host_world(size_t index, SandboxSpec& sandbox, const Variables& variables);
  StepOutcome run_step(size_t index);
  void conclude(size_t index, const RunResult& result, bool pod_time, StepOutcome& outcome);
  void read_results();
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
  std::vector<StepImage> step_images_;  // by step; empty for `kiln` and `host`
  PodOutcome outcome_;
  bool failed_ = false;
};

}  // namespace kiln::steps
