#pragma once

#include <nlohmann/json_fwd.hpp>

#include "dag/plan.h"

// The model of dag/ as the tekton.dev/v1 objects it was read from: what Tekton's own types decode strictly.
namespace kiln::executor {

nlohmann::json when_json(const std::vector<dag::When>& whens);

// A TaskSpec, whole and inline; of a StepAction that was put in only what came of it.
nlohmann::json task_spec_json(const dag::TaskSpec& spec);

// A PipelineSpec with every Task and Pipeline it refers to inline, so that it stands on its own; the
// pipeline's params are put in, as far as they were when it was compiled.
nlohmann::json pipeline_spec_json(const dag::Plan& plan);

// The bindings of a run's workspaces that mean something elsewhere.
// `run_uid`: of the run whose volumeClaimTemplates have become claims; empty: they are fresh folders.
nlohmann::json workspaces_json(const std::vector<dag::WorkspaceBinding>& bindings,
                               std::string_view run_uid = {});

}  // namespace kiln::executor
