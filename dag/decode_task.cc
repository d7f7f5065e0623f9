#include "dag/convert_bindings.h"
#include "dag/fields.h"

namespace kiln::dag {

void decode_run_metadata(DecodeContext& context, Fields& fields, Labels& annotations, Labels& labels) {
  const Node* metadata = fields.mapping("metadata");
  if (metadata == nullptr) return;
  Fields of_run(context, *metadata, "metadata");
  annotations = of_run.labels("annotations");
  labels = of_run.labels("labels");
  of_run.done();
}

std::shared_ptr<const TaskSpec> decode_task_spec(DecodeContext& context, const Node& node) {
  Fields fields(context, node, "task spec");
  auto spec = std::make_shared<TaskSpec>();
  spec->at = node.at;
  spec->params = decode_param_specs(context, fields);
  spec->results = decode_results(context, fields);
  spec->workspaces = decode_workspaces(context, fields);
  const auto& steps = fields.items("steps");
  spec->unreadable = fields.reported("steps");
  spec->steps.reserve(steps.size());
  for (const Node* step : steps) spec->steps.push_back(decode_step(context, *step, "step"));
  if (const Node* step_template = fields.mapping("stepTemplate"))
    spec->step_template = decode_step(context, *step_template, "stepTemplate");
  for (const Node* sidecar : fields.items("sidecars"))
    spec->sidecars.push_back(decode_sidecar(context, *sidecar));
  spec->volumes = decode_volumes(context, fields);
  spec->display_name = fields.text("displayName");
  spec->description = fields.text("description");
  decode_run_metadata(context, fields, spec->annotations, spec->labels);
  spec->unconverted_resources = decode_unconverted_resources(context, fields);
  fields.ignore({"apiVersion", "kind"});
  fields.done();
  return spec;
}

}  // namespace kiln::dag
