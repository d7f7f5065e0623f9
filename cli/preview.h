#pragma once

#include <string>

#include "dag/plan.h"

namespace kiln::cli {

// What `kiln run -n` shows: the graph, then each task with everything substituted that is known before
// running. What only a run can know stays as it is written: $(tasks.build.results.digest).
std::string preview(const dag::Plan& plan);

}  // namespace kiln::cli
