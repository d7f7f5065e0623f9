#include "steps/pod.h"

#include <algorithm>
#include <sys/stat.h>

#include "base/error.h"
#include "base/fs.h"
#include "registry/store/leases.h"
#include "registry/store/snapshots.h"
#include "registry/store/store.h"
#include "steps/host_network.h"
#include "steps/pod_images.h"
#include "steps/pod_run.h"
#include "steps/step_world.h"

namespace kiln::steps {

namespace {

// This very program, without reading all of it: a new build is a new file.
std::string program_identity(const fs::path& program) {
  struct stat status {};
  if (::stat(program.c_str(), &status) != 0) throw_errno("cannot read " + program.string());
  return "kiln " + std::to_string(status.st_size) + " " + std::to_string(status.st_mtim.tv_sec) + "." +
         std::to_string(status.st_mtim.tv_nsec);
}

registry::ImageRequest request_for(const StepSpec& step, registry::ImageRequest of_pod) {
  of_pod.policy = step.pull_policy;
  return of_pod;
}

}  // namespace

ImageSource image_source(const registry::Images& images, registry::ImageRequest request) {
  return [&images, request = std::move(request)](const StepSpec& step, std::stop_token cancel) {
    const registry::Image image = images.get(step.image, request_for(step, request), std::move(cancel));
    auto lease = std::make_shared<registry::Lease>(images.store(), "step");
    return StepImage{registry::Snapshots(images.store()).prepare(image, lease.get()), image.config,
                     image.descriptor.digest.text(), std::move(lease)};
  };
}

LocalPods::LocalPods(SandboxRuntime& runtime, const registry::Images& images, Options options)
    : runtime_(runtime),
      images_(images),
      options_(std::move(options)),
      preparation_([] { prepare_host_network(current_environment()); }) {}

PodOutcome LocalPods::run(const PodSpec& spec, PodObserver& observer, std::stop_token stop,
                          Duration timeout) {
  const ImageSource source = image_source(images_, spec.images);
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

std::vector<std::string> LocalPods::image_digests(const PodSpec& spec, std::stop_token stop) {
  const std::vector<const StepSpec*> containers = containers_of(spec);
  if (std::ranges::any_of(containers, [](const StepSpec* one) { return one->image == kHostImage; }))
    return {};
  const ImageSource source = [&](const StepSpec& step, std::stop_token cancel) {
    const registry::Image image = images_.get(step.image, request_for(step, spec.images), std::move(cancel));
    return StepImage{{}, {}, image.descriptor.digest.text()};
  };
  std::vector<StepImage> images;
  if (const auto problem = get_images(containers, source, stop, images)) throw problem->error;
  std::vector<std::string> out;
  for (size_t i = 0; i < containers.size(); ++i)
    out.push_back(runs_on_host(*containers[i]) ? program_identity(options_.kiln_binary) : images[i].digest);
  return out;
}

void LocalPods::prefetch(std::vector<registry::WantedImage> wanted, std::stop_token stop) const {
  std::erase_if(wanted, [](const registry::WantedImage& one) {
    return one.name == kKilnImage || one.name == kHostImage;
  });
  images_.prefetch(wanted, std::move(stop));
}

}  // namespace kiln::steps
