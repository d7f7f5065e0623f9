#pragma once

#include <vector>

#include "dag/check_task.h"
#include "dag/documents.h"
#include "dag/fields.h"

// PipelineResources after everything is loaded: what the runs name becomes params (the rules are in
// convert.h).
namespace kiln::dag {

// The spec of a PipelineResource document. A type that Kiln does not convert is a Warning: perhaps no run
// needs it.
PipelineResource decode_pipeline_resource(DecodeContext& context, const Node& spec);

// The list that convert() leaves in a run's spec, `pipelineResources`.
std::vector<ResourceBinding> decode_resource_bindings(DecodeContext& context, Fields& run_spec);

// The list that convert() leaves in a Task's spec: the types that it does not convert.
std::vector<Text> decode_unconverted_resources(DecodeContext& context, Fields& task_spec);

// Adds a param for every field that the bindings give. Checked against `target`, what is going to run: a
// binding that it does not ask for, a wrong type, a PipelineResource that is not loaded. What is missing
// then is an ordinary missing param. `lenient` as for Catalog::find_task. `reporter` is that of the run's
// file.
void add_resource_params(const Documents& documents, const PipelineSpec& target,
                         const std::vector<ResourceBinding>& bindings, Reporter& reporter, bool lenient,
                         std::vector<Param>& params);

}  // namespace kiln::dag
