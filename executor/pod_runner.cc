#include "executor/pod_runner.h"

namespace kiln::executor {

std::vector<std::string> LocalPodRunner::image_digests(const steps::PodSpec& spec, std::stop_token stop) {
  return pods_.image_digests(spec, std::move(stop));
}

void LocalPodRunner::prefetch(std::vector<registry::WantedImage> wanted, std::stop_token stop) {
  pods_.prefetch(std::move(wanted), std::move(stop));
}

steps::PodOutcome LocalPodRunner::run(const steps::PodSpec& spec, steps::PodObserver& observer,
                                      std::stop_token stop) {
  return pods_.run(spec, observer, std::move(stop), {});  // time limits are the scheduler's
}

}  // namespace kiln::executor
