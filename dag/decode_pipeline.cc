#include <limits>

#include "base/text.h"
#include "dag/convert_bindings.h"
#include "dag/fields.h"

namespace kiln::dag {
namespace {

Ref decode_ref(DecodeContext& context, const Node& node, std::string_view what) {
  Fields fields(context, node, what);
  Ref ref;
  ref.at = node.at;
  ref.name = fields.text("name");
  ref.kind = fields.text("kind");
  ref.api_version = fields.text("apiVersion");
  ref.resolver = fields.text("resolver");
  ref.params = decode_params(context, fields);
  if (const Node* bundle = fields.find("bundle")) {  // v1beta1's spelling of the bundles resolver
    ref.resolver = {"bundles", bundle->at};
    const auto param = [&](std::string_view name, std::string value) {
      ref.params.push_back(
          {{std::string(name), bundle->at}, ParamValue::string(std::move(value)), bundle->at});
    };
    param("bundle", text_of(context, *bundle, "bundle"));
    param("name", ref.name);
    param("kind", ref.kind.empty() ? "task" : to_lower(ref.kind.value));
  }
  fields.done();
  if (ref.name.empty() && ref.resolver.empty())
    context.error(node.at, std::string(what) + " needs a `name`", "or a `resolver` with its params");
  return ref;
}

PipelineTask decode_pipeline_task(DecodeContext& context, const Node& node) {
  Fields fields(context, node, "pipeline task");
  PipelineTask task;
  task.at = node.at;
  task.name = fields.text("name");
  task.display_name = fields.text("displayName");
  if (const Node* ref = fields.mapping("taskRef")) task.task_ref = decode_ref(context, *ref, "taskRef");
  if (const Node* spec = fields.mapping("taskSpec")) task.task_spec = decode_task_spec(context, *spec);
  for (std::string_view key : {"pipelineRef", "pipelineSpec"})
    if (const Node* nested = fields.mapping(key)) task.pipeline_ref = nested->at;
  task.run_after = fields.texts("runAfter");
  task.params = decode_params(context, fields);
  if (const Node* list = fields.sequence("workspaces"))
    for (const Node* item : list->items) {
      Fields use(context, *item, "workspace");
      WorkspacePipelineTaskBinding binding{use.text("name"), use.text("workspace"), use.text("subPath")};
      use.done();
      if (binding.workspace.empty()) binding.workspace = binding.name;
      task.workspaces.push_back(std::move(binding));
    }
  task.when = decode_when(context, fields);
  if (const auto retries = fields.integer("retries")) {
    if (*retries < 0 || *retries > std::numeric_limits<int>::max())
      context.error(node.at, "`retries` takes a number from 0 up");
    else
      task.retries = static_cast<int>(*retries);
  }
  task.timeout = fields.scalar("timeout");
  task.on_error = fields.text("onError");
  if (const Node* matrix = fields.mapping("matrix")) task.matrix = matrix->at;
  if (const Node* resources = fields.find("resources"))
    context.error(resources->at, "`resources` belongs to PipelineResources, which Tekton removed",
                  "pass a workspace and params instead");
  fields.ignore({"description", "metadata"});
  fields.done();
  if (task.name.empty()) context.error(node.at, "a pipeline task needs a `name`");
  return task;
}

std::vector<WorkspaceBinding> decode_bindings(DecodeContext& context, Fields& owner) {
  std::vector<WorkspaceBinding> out;
  const Node* list = owner.sequence("workspaces");
  if (list == nullptr) return out;
  for (const Node* item : list->items) {
    Fields fields(context, *item, "workspace binding");
    WorkspaceBinding binding;
    binding.name = fields.text("name");
    binding.sub_path = fields.text("subPath");
    size_t sources = 0;
    const auto source = [&](std::string_view key, WorkspaceBinding::Kind kind, std::string_view name_field) {
      const Node* node = fields.find(key);
      if (node == nullptr) return;
      ++sources;
      binding.kind = kind;
      for (const Entry& entry : node->entries) {
        if (!name_field.empty() && iequals(entry.key, name_field)) binding.source = entry.value->scalar;
        if (iequals(entry.key, "readOnly")) binding.read_only = entry.value->scalar == "true";
      }
    };
    source("volumeClaimTemplate", WorkspaceBinding::Kind::RunFolder, "");
    source("persistentVolumeClaim", WorkspaceBinding::Kind::Claim, "claimName");
    source("emptyDir", WorkspaceBinding::Kind::EmptyDir, "");
    source("configMap", WorkspaceBinding::Kind::ConfigMap, "name");
    source("secret", WorkspaceBinding::Kind::Secret, "secretName");
    source("projected", WorkspaceBinding::Kind::Other, "");
    source("csi", WorkspaceBinding::Kind::Other, "driver");
    fields.done();
    if (sources > 1) context.error(item->at, "expected exactly one, got both", "a workspace has one source");
    if (binding.kind == WorkspaceBinding::Kind::Claim && binding.source.empty())
      context.error(item->at, "persistentVolumeClaim needs a `claimName`");
    check_plain_name(context, binding.name, "workspace");
    if (binding.kind == WorkspaceBinding::Kind::Claim)
      check_plain_name(context, {binding.source, item->at}, "claim");
    out.push_back(std::move(binding));
  }
  return out;
}

void decode_timeouts(DecodeContext& context, Fields& run, Timeouts& out) {
  if (const Node* node = run.mapping("timeouts")) {
    Fields fields(context, *node, "timeouts");
    out.pipeline = fields.scalar("pipeline");
    out.tasks = fields.scalar("tasks");
    out.finally = fields.scalar("finally");
    fields.done();
  }
  if (Text legacy = run.scalar("timeout"); !legacy.empty()) out.pipeline = std::move(legacy);  // v1beta1
}

}  // namespace

PipelineSpec decode_pipeline_spec(DecodeContext& context, const Node& node) {
  Fields fields(context, node, "pipeline spec");
  PipelineSpec spec;
  spec.at = node.at;
  spec.params = decode_param_specs(context, fields);
  spec.workspaces = decode_workspaces(context, fields);
  const auto tasks = [&](std::string_view key, std::vector<PipelineTask>& out) {
    const Node* list = fields.sequence(key);
    if (list == nullptr) return;
    out.reserve(list->items.size());
    for (const Node* item : list->items) out.push_back(decode_pipeline_task(context, *item));
  };
  tasks("tasks", spec.tasks);
  tasks("finally", spec.finally);
  spec.results = decode_results(context, fields);
  spec.display_name = fields.text("displayName");
  if (const Node* resources = fields.find("resources"))
    context.error(resources->at, "`resources` belongs to PipelineResources, which Tekton removed",
                  "pass a workspace and params instead");
  fields.ignore({"description"});
  fields.done();
  return spec;
}

PipelineRun decode_pipeline_run(DecodeContext& context, const Node& node) {
  Fields fields(context, node, "PipelineRun spec");
  PipelineRun run;
  if (const Node* ref = fields.mapping("pipelineRef"))
    run.pipeline_ref = decode_ref(context, *ref, "pipelineRef");
  if (const Node* spec = fields.mapping("pipelineSpec"))
    run.pipeline_spec = std::make_shared<PipelineSpec>(decode_pipeline_spec(context, *spec));
  run.params = decode_params(context, fields);
  run.workspaces = decode_bindings(context, fields);
  decode_timeouts(context, fields, run.timeouts);
  run.resources = decode_resource_bindings(context, fields);
  fields.ignore(
      {"taskRunTemplate", "taskRunSpecs", "serviceAccountName", "podTemplate", "status", "managedBy"});
  fields.done();
  if (run.pipeline_ref.given() == (run.pipeline_spec != nullptr))
    context.error(node.at, std::string("expected exactly one, got ") +
                               (run.pipeline_spec ? "both" : "neither") + ": pipelineRef, pipelineSpec");
  return run;
}

TaskRun decode_task_run(DecodeContext& context, const Node& node) {
  Fields fields(context, node, "TaskRun spec");
  TaskRun run;
  if (const Node* ref = fields.mapping("taskRef")) run.task_ref = decode_ref(context, *ref, "taskRef");
  if (const Node* spec = fields.mapping("taskSpec")) run.task_spec = decode_task_spec(context, *spec);
  run.params = decode_params(context, fields);
  run.workspaces = decode_bindings(context, fields);
  run.timeout = fields.scalar("timeout");
  run.resources = decode_resource_bindings(context, fields);
  if (const auto retries = fields.integer("retries"))
    run.retries = static_cast<int>(std::clamp<int64_t>(*retries, 0, 1000));
  fields.ignore({"serviceAccountName", "podTemplate", "status", "statusMessage", "debug", "stepSpecs",
                 "stepOverrides", "sidecarSpecs", "sidecarOverrides", "computeResources", "managedBy"});
  fields.done();
  if (run.task_ref.given() == (run.task_spec != nullptr))
    context.error(node.at, std::string("expected exactly one, got ") + (run.task_spec ? "both" : "neither") +
                               ": taskRef, taskSpec");
  return run;
}

}  // namespace kiln::dag
