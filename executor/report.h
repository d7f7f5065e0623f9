#pragma once

#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "executor/journal.h"
#include "executor/state.h"

namespace kiln::executor {

// The run as a `tekton.dev/v1` PipelineRun (or TaskRun, for a lone Task) with its spec, whole and inline, and
// its status as Tekton writes it. Tekton's own types decode it strictly. Secrets are masked in all of these.
nlohmann::json describe(const RunRecord& run, const dag::Plan& plan, const State& state);

// One TaskRun (or CustomRun, or PipelineRun inside it) that has started, with its steps and retriesStatus.
nlohmann::json describe_task(const RunRecord& run, const dag::Plan& plan, const State& state, TaskRunId id);

// Each TaskRun and CustomRun of a PipelineRun that has started. Pipelines inside it are runs of their own.
std::vector<nlohmann::json> describe_children(const RunRecord& run, const dag::Plan& plan,
                                              const State& state);

}  // namespace kiln::executor
