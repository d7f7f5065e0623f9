#pragma once

#include <stop_token>
#include <string>
#include <vector>

#include "dag/resolve.h"
#include "executor/pod_spec.h"

// How a run asks for its images.
namespace kiln::executor {

registry::PullPolicy pull_policy_of(const dag::Container& container);

// The registry credentials of a pod, as documents for registry::ImageRequest: of the Secrets that the
// podTemplate's imagePullSecrets name, else those of the ServiceAccount, as Kubernetes does it. One that is
// not loaded, or of another type than kubernetes.io/dockerconfigjson and dockercfg, is left out with a note.
// Throws Invalid for one that cannot be understood; no message holds a value.
std::vector<std::string> pull_credentials(const dag::Plan& plan, const dag::TaskRunSettings& settings,
                                          std::vector<std::string>& notes);

// The images of all tasks, as far as they can be told before any has run: each once, in the plan's order.
// Pipelines inside the pipeline name theirs when they start. Returns early on `stop`.
std::vector<registry::WantedImage> wanted_images(const dag::Plan& plan, const dag::RunContext& context,
                                                 registry::ImageRequest::Moment answered_since,
                                                 const std::stop_token& stop);

}  // namespace kiln::executor
