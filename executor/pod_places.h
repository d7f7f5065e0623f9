#pragma once

#include <string_view>

#include "executor/driver.h"
#include "executor/pod_spec.h"

namespace kiln::executor {

// Where run `id` keeps what its pods see, what it was allowed, and the machine. Its workspaces are its own
// folder's, its `secrets` are not set. Used by the executor only.
PodPlaces pod_places(const Dirs& dirs, std::string_view id, const RunOptions& options);

}  // namespace kiln::executor
