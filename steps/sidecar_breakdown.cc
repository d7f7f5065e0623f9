#include "steps/sidecar_breakdown.h"

#include <algorithm>

namespace kiln::steps {

std::optional<Breakdown> sidecar_breakdown(const PodOutcome& outcome, bool steps_failed, bool all_ended) {
  const bool of_step = outcome.reason == "StepFailed" || outcome.reason == "StepOOM";
  if (steps_failed ? !of_step : !all_ended) return std::nullopt;
  const auto broken = [&](StepReason how) -> const StepOutcome* {
    const auto found = std::ranges::find(outcome.sidecars, how, &StepOutcome::reason);
    return found == outcome.sidecars.end() ? nullptr : &*found;
  };
  const auto words = [](const StepOutcome& sidecar, const char* how) {
    return "\"sidecar-" + sidecar.name + "\" exited with code " + std::to_string(sidecar.exit_code) + ": " +
           how;
  };
  if (const StepOutcome* sidecar = broken(StepReason::OutOfMemory))
    return Breakdown{"SidecarOOM", words(*sidecar, "OOMKilled")};
  const StepOutcome* sidecar = broken(StepReason::Error);
  if (sidecar == nullptr || sidecar->exit_code == 0 || outcome.reason == "StepOOM") return std::nullopt;
  return Breakdown{"SidecarFailed", words(*sidecar, "Error")};
}

}  // namespace kiln::steps
