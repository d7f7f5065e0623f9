#pragma once

#include <filesystem>
#include <string>

#include "steps/sandbox.h"

namespace kiln::steps {

// The OCI runtime-spec 1.0 document (config.json) of a sandbox whose root is mounted at `root`: the same
// world that the native sandbox makes, for runc and crun. Deterministic: the same value gives the same text.
std::string runtime_spec(const SandboxSpec& spec, const std::filesystem::path& root);

}  // namespace kiln::steps
