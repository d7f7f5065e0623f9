#pragma once

#include <optional>
#include <string>

#include "steps/pod.h"

namespace kiln::steps {

// Why a pod failed of its sidecars.
struct Breakdown {
  std::string reason, message;  // SidecarOOM or SidecarFailed
};

// A sidecar that broke down is why its pod failed, rather than the steps that missed it. When the steps went
// well, the pod has failed with it all the same if it and every other had ended before the last step did
// (`all_ended`). One that was told to end did not break down. Tekton: status.go, getFailureInfo.
std::optional<Breakdown> sidecar_breakdown(const PodOutcome& outcome, bool steps_failed, bool all_ended);

}  // namespace kiln::steps
