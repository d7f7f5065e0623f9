#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "base/unique_fd.h"
#include "steps/cgroup.h"
#include "steps/sandbox.h"

namespace kiln::steps {

// Whether the sandbox joins a network namespace that is there already.
bool joins_network(const SandboxSpec& spec);

// The memfd of wire.h. `flags` are wire::Flag; `cgroup` may be null. `idmaps` receives the descriptors that
// mounts are mapped with; they follow `first_idmap` in the program, and the network namespace to join follows
// them. Throws Invalid for a NUL byte in any text.
UniqueFd describe_sandbox(const SandboxSpec& spec, uint32_t flags, const std::filesystem::path& mount_point,
                          const Cgroup* cgroup, int first_idmap, std::vector<int>& idmaps);

}  // namespace kiln::steps
