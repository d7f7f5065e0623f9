#pragma once

#include <memory>

#include "dag/model.h"
#include "steps/pod.h"

namespace kiln::executor {

// What the steps of one TaskRun hand to each other and to the TaskRun: Tekton's step results, step artifacts
// and `when` of steps. A value; cheap to copy.
class StepFlow {
 public:
  StepFlow() = default;
  // `spec` with everything substituted that is known before the pod runs.
  explicit StepFlow(const dag::TaskSpec& spec);

  // steps::PodSpec::guide; none when no step needs one. May be called after this is gone.
  steps::StepGuide guide() const;
  // Adds the results that the task takes from its steps' (`results[].value`).
  void finish(steps::PodOutcome& outcome) const;

 private:
  struct Spec;
  std::shared_ptr<const Spec> spec_;  // none: nothing to do
};

}  // namespace kiln::executor
