#pragma once

#include <nlohmann/json_fwd.hpp>

#include "executor/journal.h"
#include "executor/state.h"

namespace kiln::executor {

// The run as a `tekton.dev/v1` PipelineRun (or TaskRun, for a lone Task) with its status: conditions,
// childReferences, skippedTasks, results, as Tekton writes them.
nlohmann::json describe(const RunRecord& run, const dag::Plan& plan, const State& state);

// One TaskRun (or CustomRun, or PipelineRun inside it) that has started, with its steps and retriesStatus.
nlohmann::json describe_task(const RunRecord& run, const dag::Plan& plan, const State& state, TaskRunId id);

}  // namespace kiln::executor
