#include <algorithm>

#include "base/text.h"
#include "dag/converter.h"

namespace kiln::dag {

using Owner = DeclaredResource::Owner;

void Converter::pipeline_spec_at(Node& owner, std::string_view key) {
  if (Entry* entry = find_entry(owner, key)) entry->value = pipeline_spec(*entry->value);
}

const Node* Converter::pipeline_spec(const Node& spec) {
  if (spec.kind != Node::Kind::Mapping) return &spec;
  if (const auto known = specs_.find(&spec); known != specs_.end()) return known->second;
  Node& out = tree_.copy(spec);
  PipelineResources resources;
  if (const std::optional<Entry> list = take(out, "resources")) {
    resources.list = declared_resources(context_, list->value, Owner::Pipeline);
    std::vector<std::string> flags;
    for (const DeclaredResource& resource : resources.list) {
      declare_pipeline_resource(out, resource);
      resources.by_name.emplace(resource.name, &resource);
      if (resource.converted()) flags.push_back("-p " + resource.param("url") + "=…");
    }
    if (!flags.empty())
      context_.report(Severity::Note, list->key_at, "PipelineResources become params: " + join(flags, " "));
  }
  for (std::string_view key : {"tasks", "finally"}) note_outputs(spec, key, resources);
  VariableRewriter rewriter(tree_, context_, {}, VariableRewriter::Syntax::AlphaPipeline);
  for (std::string_view key : {"tasks", "finally"})
    tree_.each(out, key, [&](Node& task) { pipeline_task(task, resources, rewriter); });
  for (const DeclaredResource& resource : resources.list)
    if (resource.type == "git" && resources.written.contains(resource.name))
      add(out, "workspaces", resource.at, named("resource-" + resource.name, resource.at));
  specs_.emplace(&spec, &out);
  return &out;
}

void Converter::declare_pipeline_resource(Node& spec, const DeclaredResource& resource) {
  declare_params(spec, resource);
  if (resource.type.empty())
    context_.error(resource.at, "resource `" + resource.name + "` needs a `type`", "for example `type: git`");
  else if (!resource.converted() && is_resource_type(resource.type))
    context_.report(Severity::Warning, resource.at,
                    "resource `" + resource.name + "` has the type " + resource.type +
                        ", which Tekton removed and Kiln does not convert",
                    instead_of(resource.type));
}

// Which task writes which resource, before any of them is converted: `from` may look ahead.
void Converter::note_outputs(const Node& spec, std::string_view key, PipelineResources& resources) {
  const Node* tasks = get(spec, key);
  if (tasks == nullptr) return;
  for (const Node* task : tasks->items) {
    const Node* bindings = get(*task, "resources");
    const Node* outputs = bindings ? get(*bindings, "outputs") : nullptr;
    if (outputs == nullptr) continue;
    for (const Node* output : outputs->items) {
      const std::string resource = get_text(*output, "resource");
      resources.written.insert(resource);
      resources.producers.insert(get_text(*task, "name") + "\n" + resource);
    }
  }
}

void Converter::pipeline_task(Node& task, const PipelineResources& resources, VariableRewriter& rewriter) {
  reference(task, "taskRef", "task", {});
  reference(task, "pipelineRef", "pipeline", {});
  task_spec_at(task, "taskSpec");
  pipeline_spec_at(task, "pipelineSpec");
  when(task);
  if (Entry* matrix = find_entry(task, "matrix"); matrix && matrix->value->kind == Node::Kind::Sequence) {
    Node& made = tree_.mapping(matrix->value->at);  // a plain list of params, at first
    put(made, "params", matrix->value->at, matrix->value);
    matrix->value = &made;
  }
  if (Entry* params = find_entry(task, "params"); params && alpha_)
    params->value = rewriter.rewrite(params->value);
  if (const std::optional<Entry> conditions = take(task, "conditions"))
    context_.error(
        conditions->key_at, "Conditions were removed from Tekton and are not converted",
        "write a `when` expression; what a Condition checks can be a task whose result `when` reads");
  const std::optional<Entry> bindings = take(task, "resources");
  if (!bindings) return;
  if (bindings->value->kind != Node::Kind::Mapping) {
    context_.error(bindings->value->at, "`resources` takes `inputs` and `outputs`");
    return;
  }
  if (const Node* inputs = get(*bindings->value, "inputs"))
    bind_resources(task, *inputs, Owner::Input, resources);
  if (const Node* outputs = get(*bindings->value, "outputs"))
    bind_resources(task, *outputs, Owner::Output, resources);
}

// The resource that a task means; after a misspelling the one it must have meant, so that one mistake is one
// message.
const DeclaredResource* Converter::find_resource(const PipelineResources& resources, const std::string& name,
                                                 Position at) {
  if (const auto found = resources.by_name.find(name); found != resources.by_name.end()) return found->second;
  constexpr size_t kMostComparisons = 500'000;  // see Reporter::suggest
  std::vector<std::string> known;
  if (resources.list.size() <= kMostComparisons / (context_.diagnostics.size() + 1))
    for (const DeclaredResource& resource : resources.list) known.push_back(resource.name);
  const auto near = nearest(name, known);
  context_.error(at, "the pipeline declares no resource `" + name.substr(0, 100) + "`",
                 near ? "did you mean `" + *near + "`?" : "declare it under `spec.resources`");
  return near ? resources.by_name.at(*near) : nullptr;
}

void Converter::bind_resources(Node& task, const Node& bindings, Owner owner,
                               const PipelineResources& resources) {
  for (const Node* binding : bindings.items) {
    const Node* wanted = get(*binding, "resource");
    const Position at = wanted ? wanted->at : binding->at;
    const std::string name = get_text(*binding, "name");
    const std::string from = get_text(*binding, "resource");
    if (name.empty() || from.empty()) {
      context_.error(binding->at, "a resource of a pipeline task needs a `name` and a `resource`");
      continue;
    }
    const DeclaredResource* found = find_resource(resources, from, at);
    if (found == nullptr) continue;
    const DeclaredResource& resource = *found;
    if (owner == Owner::Input) bind_from(task, *binding, name, resource, resources);
    for (const ResourceField& field : resource_fields(resource.type))
      add(task, "params", at,
          named(resource_param(owner, name, field.name), at, "value",
                tree_.text(resource.variable(field.name), at)));
    if (owner == Owner::Output && resource.type == "git")
      bind_folder(task, "resource-output-" + name, resource, get_text(task, "name"), at);
  }
}

// `from`: after those tasks and, for git, what the last of them left.
void Converter::bind_from(Node& task, const Node& binding, const std::string& name,
                          const DeclaredResource& resource, const PipelineResources& resources) {
  const Node* from = get(binding, "from");
  if (from == nullptr || from->kind != Node::Kind::Sequence || from->items.empty()) return;
  std::unordered_set<std::string> after;
  if (const Node* given = get(task, "runAfter"))
    for (const Node* item : given->items) after.insert(item->scalar);
  const std::string* folder = nullptr;  // the task that left one
  for (const Node* producer : from->items) {
    if (resources.producers.contains(producer->scalar + "\n" + resource.name))
      folder = &producer->scalar;
    else
      context_.error(producer->at,
                     "task `" + producer->scalar.substr(0, 100) + "` has no output resource `" +
                         resource.name + "` to take it from",
                     "name a task that lists it under `resources.outputs`");
    if (after.insert(producer->scalar).second) add(task, "runAfter", producer->at, producer);
  }
  if (resource.type != "git" || folder == nullptr) return;
  if (from->items.size() > 1)
    context_.report(Severity::Warning, from->at,
                    "a git resource is taken from one task: `" + folder->substr(0, 100) + "`",
                    "Tekton copied them over each other, in this order");
  bind_folder(task, "resource-input-" + name, resource, *folder, from->at);
}

void Converter::bind_folder(Node& task, std::string workspace, const DeclaredResource& resource,
                            const std::string& producer, Position at) {
  Node& binding =
      tree_.copy(*named(std::move(workspace), at, "workspace", tree_.text("resource-" + resource.name, at)));
  put(binding, "subPath", at, tree_.text(producer, at));
  add(task, "workspaces", at, &binding);
}

}  // namespace kiln::dag
