#include "executor/pod_runner.h"

namespace kiln::executor {

steps::PodOutcome LocalPodRunner::run(const steps::PodSpec& spec, steps::PodObserver& observer,
                                      std::stop_token stop) {
  return pods_.run(spec, observer, std::move(stop), {});  // time limits are the scheduler's
}

}  // namespace kiln::executor
