#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>

#include "executor/pod_runner.h"

namespace kiln::executor::testing {

// Pods that do at once what a test says, by pod name without the run's: "a", "a-retry1". A pod that nobody
// spoke of succeeds.
class FakePodRunner final : public PodRunner {
 public:
  using Behaviour =
      std::function<steps::PodOutcome(const steps::PodSpec&, steps::PodObserver&, std::stop_token)>;

  void on(std::string task, Behaviour behaviour) { behaviours_[std::move(task)] = std::move(behaviour); }

  steps::PodOutcome run(const steps::PodSpec& spec, steps::PodObserver& observer,
                        std::stop_token stop) override {
    {
      const std::lock_guard lock(mutex_);
      seen.push_back(spec);
    }
    for (const auto& [task, behaviour] : behaviours_)
      if (spec.name.ends_with("-" + task)) return behaviour(spec, observer, std::move(stop));
    return succeeded();
  }

  void prefetch(std::vector<registry::WantedImage> wanted, std::stop_token stop) override {
    if (on_prefetch) on_prefetch(wanted, std::move(stop));
  }
  std::function<void(const std::vector<registry::WantedImage>&, std::stop_token)> on_prefetch;

  static steps::PodOutcome succeeded(std::map<std::string, std::string> results = {}) {
    steps::PodOutcome out;
    out.succeeded = true;
    out.reason = "Succeeded";
    out.results = std::move(results);
    return out;
  }
  static steps::PodOutcome failed(std::string reason = "Failed") {
    steps::PodOutcome out;
    out.reason = std::move(reason);
    out.message = "step s exited with 1";
    return out;
  }
  // Runs until it is told to stop.
  static steps::PodOutcome until_stopped(const steps::PodSpec&, steps::PodObserver&, std::stop_token stop) {
    wait_for(stop);
    return failed("TaskRunCancelled");
  }
  static void wait_for(const std::stop_token& stop) {
    std::mutex mutex;
    std::condition_variable_any stopped;
    std::unique_lock lock(mutex);
    stopped.wait(lock, stop, [] { return false; });
  }

  std::vector<steps::PodSpec> seen;

 private:
  std::mutex mutex_;
  std::map<std::string, Behaviour> behaviours_;
};

}  // namespace kiln::executor::testing
