#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "registry/image.h"
#include "steps/pod.h"
#include "steps/variables.h"

namespace kiln::steps {

// The file for a step's script: as it stands when it begins with "#!", else after "#!/bin/sh" and "set -e".
std::string script_file(std::string_view script);

// What a step executes, by Tekton's and Kubernetes' rules.
// `script_path` is where its script is, empty when it has none. Throws Invalid when there is nothing to run.
std::vector<std::string> step_command(const StepSpec& step, const registry::ImageConfig& image,
                                      std::string_view script_path, const Variables& variables);

// The environment of a step, strongest last: defaults, image, host's network, step. Each as "NAME=value".
std::vector<std::string> step_env(const registry::ImageConfig& image,
                                  const std::vector<std::string>& host_network, const Variables& step,
                                  std::string_view home);

// Why a step with `image: kiln` is not allowed; empty when it is. Such steps run Kiln's own verbs and nothing
// else, because they run trusted.
std::string kiln_step_problem(const StepSpec& step, const std::vector<std::string>& verbs);

}  // namespace kiln::steps
