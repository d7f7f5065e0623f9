#include "dag/convert_bindings.h"
#include "dag/fields.h"

namespace kiln::dag {

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
  if (const Node* metadata = fields.mapping("metadata")) {
    Fields of_task_run(context, *metadata, "metadata");
    spec->annotations = of_task_run.labels("annotations");
    spec->labels = of_task_run.labels("labels");
    of_task_run.done();
  }
  spec->unconverted_resources = decode_unconverted_resources(context, fields);
  fields.ignore({"apiVersion", "kind"});
  fields.done();
  return spec;
}

}  // namespace kiln::dag
