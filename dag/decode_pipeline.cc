#include <limits>
#include <set>

#include "base/text.h"
#include "dag/fields.h"

namespace kiln::dag {
namespace {

std::optional<Matrix> decode_matrix(DecodeContext& context, Fields& owner) {
  const Node* node = owner.mapping("matrix");
  if (node == nullptr) return std::nullopt;
  Fields fields(context, *node, "matrix");
  Matrix out;
  out.at = node->at;
  out.params = decode_params(context, fields);
  for (const Node* item : fields.items("include")) {
    Fields include(context, *item, "matrix include");
    MatrixInclude one;
    one.at = item->at;
    one.name = include.text("name");
    one.params = decode_params(context, include);
    include.done();
    out.include.push_back(std::move(one));
  }
  fields.done();
  return out;
}

const Node* field_of(const Node& node, std::string_view key) {
  for (const Entry& entry : node.entries)
    if (entry.key == key && entry.value->kind != Node::Kind::Null) return entry.value;
  return nullptr;
}

// `taskSpec` of a custom task has an apiVersion and a kind where a Task's has steps.
bool is_custom(DecodeContext& context, const Node& spec) {
  bool given = false;
  for (std::string_view key : {"apiVersion", "kind"})
    if (const Node* value = field_of(spec, key)) {
      given = true;
      if (field_of(spec, "steps") != nullptr)
        context.error(value->at,
                      "taskSpec." + std::string(key) + " cannot be specified when using taskSpec.steps",
                      "it is for custom tasks, which have no steps");
    }
  return given && field_of(spec, "steps") == nullptr;
}

bool is_url(std::string_view name) {
  const size_t scheme = name.find("://");
  return scheme != std::string_view::npos && scheme > 0;
}

void check_ref(DecodeContext& context, const Ref& ref, std::string_view what) {
  const std::string owner(what == "step ref" ? "ref" : what);
  const bool custom =
      (!ref.api_version.empty() && !ref.api_version.value.starts_with("tekton.dev/")) || what == "customRef";
  if (ref.name.empty() && ref.resolver.empty() && ref.params.empty() && !custom)
    context.error(ref.at, "missing field(s): " + owner + ".name",
                  owner + ": {name: …}, or a `resolver` with its params");
  if (ref.resolver.empty() && !ref.params.empty())
    context.error(ref.params.front().name.at,
                  "missing field(s): resolver: params of a " + owner + " are for one",
                  std::string("params for the ") + (owner == "ref" ? "StepAction" : "task") +
                      " itself stand beside `" + owner + "`, not in it");
  if (ref.name.empty()) return;
  if (!ref.params.empty())
    context.error(ref.name.at, "expected exactly one, got both: " + owner + ".name, params",
                  "a resolver takes the name among its `params`");
  else if (!ref.resolver.empty() && !is_url(ref.name.value))
    context.error(ref.name.at, "invalid URI for request: \"" + ref.name.value + "\"",
                  "with a `resolver`, `name` is a URL; else the name is one of its `params`");
  else if (ref.resolver.empty() && is_url(ref.name.value))
    context.error(ref.name.at, "missing field(s): resolver: \"" + ref.name.value + "\" is a URL",
                  "say who fetches it: resolver: git, http, bundles or hub");
  else if (const size_t slash = ref.name.value.find('/'); ref.resolver.empty())
    check_plain_name(context,
                     {ref.name.value.substr(slash == std::string::npos ? 0 : slash + 1), ref.name.at},
                     owner);  // a name may have a prefix: example.dev/build
}

int decode_retries(DecodeContext& context, Fields& fields) {
  const auto retries = fields.integer("retries");
  if (!retries) return 0;
  if (*retries >= 0 && *retries <= std::numeric_limits<int>::max()) return static_cast<int>(*retries);
  context.error(fields.find("retries")->at, "invalid value: " + std::to_string(*retries) + " should be >= 0",
                "0 is for no retries");
  return 0;
}

std::vector<WorkspacePipelineTaskBinding> decode_uses(DecodeContext& context, Fields& owner) {
  std::vector<WorkspacePipelineTaskBinding> out;
  std::map<std::string, Position> seen;
  for (const Node* item : owner.items("workspaces")) {
    Fields use(context, *item, "workspace");
    WorkspacePipelineTaskBinding binding{use.text("name"), use.text("workspace"), use.text("subPath")};
    use.done();
    if (binding.name.empty() && !use.reported("name"))
      context.error(item->at, "a workspace needs a `name`",
                    "{name: as the Task calls it, workspace: as the Pipeline does}");
    if (binding.workspace.empty()) binding.workspace = binding.name;
    const auto [other, fresh] = seen.emplace(binding.name.value, binding.name.at);
    if (!fresh && !binding.name.empty())
      context.error(binding.name.at, "workspace name \"" + binding.name.value + "\" must be unique",
                    "the other is on line " + std::to_string(other->second.line));
    out.push_back(std::move(binding));
  }
  return out;
}

PipelineTask decode_pipeline_task(DecodeContext& context, const Node& node) {
  Fields fields(context, node, "pipeline task");
  PipelineTask task;
  task.at = node.at;
  task.name = fields.text("name");
  task.display_name = fields.text("displayName");
  task.description = fields.text("description");
  if (const Node* ref = fields.mapping("taskRef")) task.task_ref = decode_ref(context, *ref, "taskRef");
  if (const Node* spec = fields.mapping("taskSpec")) {
    if (is_custom(context, *spec))
      task.custom_spec = decode_custom_spec(context, *spec);
    else
      task.task_spec = decode_task_spec(context, *spec);
  }
  if (const Node* ref = fields.mapping("pipelineRef"))
    task.pipeline_ref = decode_ref(context, *ref, "pipelineRef");
  if (const Node* spec = fields.mapping("pipelineSpec"))
    task.pipeline_spec = std::make_shared<PipelineSpec>(decode_pipeline_spec(context, *spec));
  task.run_after = fields.texts("runAfter");
  task.params = decode_params(context, fields);
  task.matrix = decode_matrix(context, fields);
  task.workspaces = decode_uses(context, fields);
  task.when = decode_when(context, fields);
  task.retries = decode_retries(context, fields);
  task.timeout = fields.scalar("timeout");
  task.on_error = fields.text("onError");
  fields.done();
  for (const char* kind : {"taskRef", "taskSpec", "pipelineRef", "pipelineSpec"})
    if (fields.find(kind) != nullptr) task.kinds.push_back({kind, fields.key_at(kind)});
  if (task.name.empty() && !fields.reported("name"))
    context.error(node.at, "invalid value \"\": a pipeline task needs a `name`", "- name: …");
  return task;
}

}  // namespace

CustomSpec decode_custom_spec(DecodeContext& context, const Node& node) {
  Fields fields(context, node, "custom task spec");
  CustomSpec out;
  out.api_version = fields.text("apiVersion");
  out.kind = fields.text("kind");
  if (const Node* spec = fields.find("spec")) out.json = json_of(*spec);
  decode_run_metadata(context, fields, out.annotations, out.labels);
  fields.done();
  return out;
}

Ref decode_ref(DecodeContext& context, const Node& node, std::string_view what) {
  Fields fields(context, node, what);
  Ref ref;
  ref.at = node.at;
  ref.name = fields.text("name");
  ref.kind = fields.text("kind");
  ref.api_version = fields.text("apiVersion");
  ref.resolver = fields.text("resolver");
  ref.params = decode_params(context, fields, NamesDiffer::ByMoreThanCase);
  fields.done();
  const size_t before = context.diagnostics.size();
  check_ref(context, ref, what);
  ref.malformed = context.diagnostics.size() > before || fields.reported("name");
  return ref;
}

PipelineSpec decode_pipeline_spec(DecodeContext& context, const Node& node) {
  Fields fields(context, node, "pipeline spec");
  PipelineSpec spec;
  spec.at = node.at;
  spec.params = decode_param_specs(context, fields);
  spec.workspaces = decode_workspaces(context, fields);
  const auto tasks = [&](std::string_view key, std::vector<PipelineTask>& out) {
    const auto& list = fields.items(key);
    out.reserve(list.size());
    for (const Node* item : list) out.push_back(decode_pipeline_task(context, *item));
  };
  tasks("tasks", spec.tasks);
  spec.unreadable = fields.reported("tasks");
  tasks("finally", spec.finally);
  spec.results = decode_results(context, fields);
  spec.display_name = fields.text("displayName");
  spec.description = fields.text("description");
  fields.done();
  return spec;
}

}  // namespace kiln::dag
