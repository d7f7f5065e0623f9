#pragma once

#include <functional>

#include "cli/pipeline_run.h"
#include "cli/plan_input.h"

namespace kiln::cli {

// `kiln run --watch`: runs, and runs again whenever one of the documents, or a file in a folder of this
// machine that a workspace is bound to, has changed. A change during a run ends it in order (`finally` runs)
// and starts the next. Until Ctrl-C; then the context's exit code is that of an interrupted command.
void run_and_watch(Context& context, const PlanInput& input, const PipelineRunOptions& options,
                   const dag::Allowances& allowed);

}  // namespace kiln::cli
