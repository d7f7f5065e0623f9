#include "steps/pod.h"

#include "base/error.h"
#include "registry/snapshots.h"
#include "registry/store.h"
#include "steps/pod_run.h"

namespace kiln::steps {

ImageSource image_source(const registry::Images& images) {
  return [&images](const StepSpec& step, std::stop_token cancel) {
    const registry::Image image = images.get(step.image, step.pull_policy, std::move(cancel));
    return StepImage{registry::Snapshots(images.store()).prepare(image), image.config,
                     image.descriptor.digest.text()};
  };
}

LocalPods::LocalPods(SandboxRuntime& runtime, const registry::Images& images, Options options)
    : runtime_(runtime), images_(images), options_(std::move(options)) {}

PodOutcome LocalPods::run(const PodSpec& spec, PodObserver& observer, std::stop_token stop,
                          Duration timeout) {
  const ImageSource source = image_source(images_);
  try {
    return PodRun(runtime_, source, options_, spec, observer, std::move(stop), timeout).run();
  } catch (const Error& error) {  // its folder could not be made, or read
    PodOutcome outcome;
    outcome.reason = "Failed";
    outcome.message = error.full();
    outcome.infrastructure = true;
    return outcome;
  }
}

}  // namespace kiln::steps
