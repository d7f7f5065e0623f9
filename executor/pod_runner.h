#pragma once

#include <stop_token>

#include "steps/pod.h"

namespace kiln::executor {

// The seam between deciding and doing: whoever can run a pod. Nothing above it
// assumes that pods are processes of this machine.
class PodRunner {
 public:
  virtual ~PodRunner() = default;
  // Which images the pod's steps, then its sidecars would run: digests; none when that cannot be told, or
  // when they say too little (image: host). Gets the images. Throws as registry::Images.
  virtual std::vector<std::string> image_digests(const steps::PodSpec&, std::stop_token) { return {}; }
  // Gets images that pods will need, ahead of that; returns when they are there, or on `stop`. What cannot be
  // had is no error here.
  virtual void prefetch(std::vector<registry::WantedImage>, std::stop_token) {}
  // Blocks until the pod has ended, or `stop` was requested and it has been ended. Called from many threads.
  // Throws only for what keeps any pod from running at all.
  virtual steps::PodOutcome run(const steps::PodSpec& spec, steps::PodObserver& observer,
                                std::stop_token stop) = 0;
};

// Pods in sandboxes of this machine.
class LocalPodRunner final : public PodRunner {
 public:
  explicit LocalPodRunner(steps::LocalPods& pods) : pods_(pods) {}
  std::vector<std::string> image_digests(const steps::PodSpec& spec, std::stop_token stop) override;
  void prefetch(std::vector<registry::WantedImage> wanted, std::stop_token stop) override;
  steps::PodOutcome run(const steps::PodSpec& spec, steps::PodObserver& observer,
                        std::stop_token stop) override;

 private:
  steps::LocalPods& pods_;
};

}  // namespace kiln::executor
