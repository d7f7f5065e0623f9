#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "base/error.h"
#include "steps/pod_run.h"
#include "tests/unit/steps/world.h"

namespace kiln::steps {

class Recorder final : public PodObserver {
 public:
  void step_started(size_t step, const StepSpec&) override {
    events.push_back("start " + std::to_string(step));
  }
  void step_output(size_t, bool, std::string_view bytes) override {
    output += bytes;
    if (on_output) on_output();
  }
  void step_finished(size_t step, const StepOutcome& outcome) override {
    events.push_back("finish " + std::to_string(step) + " " + std::string(to_string(outcome.reason)));
  }
  std::vector<std::string> events;
  std::string output;
  std::function<void()> on_output;
};

// Steps run in the test world's root: the image "test", whose own configuration `config` is.
class PodTest : public testing::Test {
 protected:
  void SetUp() override {
    KILN_NEEDS_SANDBOX();
    pod.name = "run-task";
    pod.folder = world.folder() / "pod";
    options.kiln_binary = "/usr/bin/env";
    options.kiln_dirs = {world.folder() / "store"};
  }
  StepSpec script(std::string name, std::string text) {
    StepSpec step{.name = std::move(name), .image = "test", .script = std::move(text)};
    for (const Mount& mount : world.command({}).mounts)
      step.mounts.push_back({mount.source, mount.destination, true});
    return step;
  }
  PodOutcome run(std::stop_token stop = {}, Duration timeout = {}) {
    const ImageSource images = [&](const StepSpec& step, std::stop_token) {
      if (step.image != "test") throw Error(ErrorKind::Unavailable, "the registry is down", "start it");
      return StepImage{{world.rootfs()}, config, "sha256:test"};
    };
    return PodRun(world.runtime(), images, options, pod, recorder, std::move(stop), timeout).run();
  }
  World world;
  registry::ImageConfig config;
  LocalPods::Options options;
  PodSpec pod;
  Recorder recorder;
};

}  // namespace kiln::steps
