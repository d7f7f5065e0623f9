#pragma once

#include <string>
#include <string_view>

#include "dag/model.h"

namespace kiln::dag {

// What the PersistentVolumeClaim behind a workspace is called: the claim that the binding names; for a
// volumeClaimTemplate one of its own per run and workspace, "pvc-" and ten hexadecimal digits, as Tekton
// makes it; empty for other workspaces.
std::string claim_name(const WorkspaceBinding& binding, std::string_view run_uid);

}  // namespace kiln::dag
