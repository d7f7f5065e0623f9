#pragma once

#include "steps/pod.h"

namespace kiln::steps {

// Runs `command` in the sandbox that step `index` of a pod had: its image, environment, mounts, credentials,
// user, limits and working directory, but for what earlier steps left outside of workspaces. Empty: bash
// where the image has it, else sh. When stdin and stdout are terminals the command gets one of its own, and
// theirs is raw meanwhile; else it gets them as they are. Output is not masked: who asks for a step's sandbox
// has its secrets. A stop request kills it. Returns the command's exit code. Throws what keeps it from
// starting: as registry::Images for an image that cannot be had; Invalid for `image: kiln`, and for
// `image: host` that is not allowed.
int run_step_shell(SandboxRuntime& runtime, const registry::Images& images, const LocalPods::Options& options,
                   const PodSpec& pod, size_t index, std::vector<std::string> command,
                   const std::stop_token& stop);

}  // namespace kiln::steps
