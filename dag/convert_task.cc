#include <algorithm>
#include <array>
#include <unordered_set>

#include "base/text.h"
#include "dag/converter.h"

namespace kiln::dag {

using Owner = DeclaredResource::Owner;

void Converter::task_spec_at(Node& owner, std::string_view key) {
  if (Entry* entry = find_entry(owner, key)) entry->value = task_spec(*entry->value);
}

const Node* Converter::task_spec(const Node& spec) {
  if (spec.kind != Node::Kind::Mapping) return &spec;
  // A custom task's spec is its own business.
  const std::string version = get_text(spec, "apiVersion");
  if (!version.empty() && !version.starts_with("tekton.dev/")) return &spec;
  if (const auto known = specs_.find(&spec); known != specs_.end()) return known->second;
  Node& out = tree_.copy(spec);

  const Node* inputs = nullptr;
  const Node* outputs = nullptr;
  if (alpha_) alpha_inputs(out, inputs, outputs);
  if (const std::optional<Entry> resources = take(out, "resources")) {
    if (resources->value->kind != Node::Kind::Mapping) {
      context_.error(resources->value->at, "`resources` takes `inputs` and `outputs`");
    } else {
      if (const Node* list = get(*resources->value, "inputs")) inputs = list;
      if (const Node* list = get(*resources->value, "outputs")) outputs = list;
    }
  }
  std::vector<DeclaredResource> declared = declared_resources(context_, inputs, Owner::Input);
  std::unordered_map<std::string, std::string> input_types;
  for (const DeclaredResource& input : declared) input_types.emplace(input.name, input.type);
  for (DeclaredResource& output : declared_resources(context_, outputs, Owner::Output)) {
    const auto input = input_types.find(output.name);
    if (output.type.empty() && input != input_types.end()) output.type = input->second;
    declared.push_back(std::move(output));
  }
  for (const DeclaredResource& resource : declared)
    if (resource.type.empty())
      context_.error(resource.at, "resource `" + resource.name + "` needs a `type`",
                     "for example `type: git`");

  if (alpha_) rename(out, "containerTemplate", "stepTemplate");
  const bool resources_used = std::ranges::any_of(declared, &DeclaredResource::converted);
  const Node* step_template = get(out, "stepTemplate");
  tree_.each(out, "steps", [&](Node& node) {
    step(node, false);
    old_defaults(node, step_template, resources_used);
  });
  tree_.nested(out, "stepTemplate", [&](Node& node) { step(node, true); });
  tree_.each(out, "sidecars", [&](Node& node) { rename(node, "resources", "computeResources"); });

  using Syntax = VariableRewriter::Syntax;
  VariableRewriter rewriter(tree_, context_, declared, alpha_ ? Syntax::AlphaTask : Syntax::Task);
  for (Entry& entry : out.entries)
    if (entry.key != "description") entry.value = rewriter.rewrite(entry.value);
  task_resources(out, declared);
  keep_unconverted(out, declared);
  specs_.emplace(&spec, &out);
  return &out;
}

void Converter::step(Node& step, bool is_template) {
  rename(step, "resources", "computeResources");
  when(step);
  drop(step,
       {"ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "terminationMessagePath",
        "terminationMessagePolicy", "stdin", "stdinOnce", "tty"},
       "a step has no such field in tekton.dev/v1");
  if (is_template) take(step, "name");
}

// While there were PipelineResources, a step that did not say otherwise ran in /workspace. In the years of
// v1alpha1 it also had a HOME that it shared with the other steps.
void Converter::old_defaults(Node& step, const Node* step_template, bool resources_used) {
  const auto says = [&](const Node& of, std::string_view key) { return get(of, key) != nullptr; };
  const auto sets_home = [](const Node& of) {
    const Node* env = get(of, "env");
    return env != nullptr && std::ranges::any_of(env->items, [](const Node* variable) {
             return get_text(*variable, "name") == "HOME";
           });
  };
  if ((alpha_ || resources_used) && !says(step, "workingDir") &&
      (step_template == nullptr || !says(*step_template, "workingDir")))
    put(step, "workingDir", step.at, tree_.text("/workspace", step.at));
  if (alpha_ && !sets_home(step) && (step_template == nullptr || !sets_home(*step_template)))
    add(step, "env", step.at, named("HOME", step.at, "value", tree_.text("/tekton/home", step.at)));
}

// v1alpha1: `inputs: {params, resources}` and `outputs: {resources, results}`.
void Converter::alpha_inputs(Node& spec, const Node*& inputs, const Node*& outputs) {
  const auto section = [&](std::string_view key) -> Node* {
    const std::optional<Entry> entry = take(spec, key);
    if (!entry) return nullptr;
    if (entry->value->kind == Node::Kind::Mapping) return &tree_.copy(*entry->value);
    context_.error(entry->value->at, "`" + std::string(key) + "` takes a mapping: params, resources");
    return nullptr;
  };
  if (Node* in = section("inputs")) {
    if (const Node* params = get(*in, "params"); params && params->kind == Node::Kind::Sequence)
      for (const Node* param : params->items) add(spec, "params", params->at, param);
    inputs = get(*in, "resources");
  }
  if (Node* out = section("outputs")) {
    drop(*out, {"results"}, "test results of v1alpha1 were never more than a declaration");
    outputs = get(*out, "resources");
  }
}

namespace {

// A name for the step that fetches, which has to be a DNS label and no other step's.
std::string clone_step_name(std::string_view resource, std::unordered_set<std::string>& taken) {
  std::string base = "git-source-";
  for (char c : to_lower(resource)) base += (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ? c : '-';
  base.resize(std::min<size_t>(base.size(), 56));
  while (base.ends_with('-')) base.pop_back();
  std::string name = base;
  for (size_t i = 2; !taken.insert(name).second; ++i) name = base + "-" + std::to_string(i);
  return name;
}

}  // namespace

namespace {

// The folders that git inputs are fetched into. They have to be empty for that, so nothing is mounted below.
class Checkouts {
 public:
  explicit Checkouts(const std::vector<DeclaredResource>& resources) {
    for (const DeclaredResource& resource : resources)
      if (resource.owner == Owner::Input && resource.type == "git") folders_.insert(resource.path());
  }
  bool above(std::string path) const {
    for (size_t slash; (slash = path.rfind('/')) != std::string::npos && slash > 0;) {
      path.resize(slash);
      if (folders_.contains(path)) return true;
    }
    return false;
  }

 private:
  std::unordered_set<std::string> folders_;
};

}  // namespace

void Converter::task_resources(Node& spec, const std::vector<DeclaredResource>& resources) {
  std::vector<const DeclaredResource*> cloned;
  const Checkouts checkouts(resources);
  std::vector<std::string> converted;
  const DeclaredResource* first = nullptr;
  for (const DeclaredResource& resource : resources) {
    if (!resource.converted()) continue;
    declare_params(spec, resource);
    const bool input = resource.owner == Owner::Input;
    if (resource.type == "git") {
      const std::string name = (input ? "resource-input-" : "resource-output-") + resource.name;
      Node& workspace = tree_.copy(*named(name, resource.at));
      const std::string path = input ? "/resources/" + resource.name : resource.path();
      put(workspace, "mountPath", resource.at, tree_.text(path, resource.at));
      if (input || resource.optional) put(workspace, "optional", resource.at, tree_.flag(true, resource.at));
      if (input) put(workspace, "readOnly", resource.at, tree_.flag(true, resource.at));
      add(spec, "workspaces", resource.at, &workspace);
      if (input) cloned.push_back(&resource);
      if (!input && checkouts.above(resource.path()))
        context_.error(resource.at,
                       "the output folder " + resource.path() + " lies in the checkout of an input",
                       "give it a targetPath of its own");
    } else if (!input) {
      if (!checkouts.above(resource.path())) mount_output_folder(spec, resource);
      context_.report(Severity::Note, resource.at,
                      "the digest that a builder leaves in " + resource.path() + "/index.json is not read",
                      "declare a result, and write the digest to it");
    }
    converted.push_back("`" + resource.name + "`");
    if (converted.size() == 1) first = &resource;
  }
  if (first != nullptr)
    context_.report(Severity::Note, first->at,
                    "PipelineResources become params (" + join(converted, ", ") + ": `" +
                        first->param("url") + "` and so on)" +
                        (cloned.empty() ? "" : " and a first step that fetches"));
  // No steps is a mistake that the clone must not hide.
  const Node* steps = get(spec, "steps");
  if (cloned.empty() || steps == nullptr || steps->kind != Node::Kind::Sequence || steps->items.empty())
    return;
  std::unordered_set<std::string> taken;
  for (const Node* step : steps->items) taken.insert(get_text(*step, "name"));
  std::vector<const Node*> fetching;
  for (const DeclaredResource* resource : cloned)
    fetching.push_back(clone_step(*resource, clone_step_name(resource->name, taken)));
  Node* list = tree_.edit_sequence(spec, "steps", steps->at);
  list->items.insert(list->items.begin(), fetching.begin(), fetching.end());
}

const Node* Converter::clone_step(const DeclaredResource& resource, std::string name) {
  const Position at = resource.at;
  Node& args = tree_.sequence(at);
  const auto arg = [&](std::string text) { args.items.push_back(tree_.text(std::move(text), at)); };
  arg("git-clone");
  constexpr std::array<std::pair<std::string_view, std::string_view>, 8> kFlags{
      {{"--url", "url"},
       {"--revision", "revision"},
       {"--refspec", "refspec"},
       {"--submodules", "submodules"},
       {"--ssl-verify", "sslVerify"},
       {"--http-proxy", "httpProxy"},
       {"--https-proxy", "httpsProxy"},
       {"--no-proxy", "noProxy"}}};
  for (const auto& [flag, field] : kFlags) arg(std::string(flag) + "=" + resource.variable(field));
  arg("--from=$(workspaces.resource-input-" + resource.name + ".path)");
  if (resource.optional) arg("--optional");
  arg(resource.path());
  Node& step = tree_.copy(*named(std::move(name), at));
  put(step, "image", at, tree_.text("kiln", at));
  // As they are for this step, whatever the stepTemplate says.
  Node& command = tree_.sequence(at);
  command.items.push_back(tree_.text("kiln", at));
  put(step, "command", at, &command);
  put(step, "args", at, &args);
  put(step, "workingDir", at, tree_.text("/workspace", at));
  return &step;
}

// The folder of an image output has always been there for the steps to write to.
void Converter::mount_output_folder(Node& spec, const DeclaredResource& resource) {
  const Position at = resource.at;
  const std::string name = "resource-output-" + resource.name;
  add(spec, "volumes", at, named(name, at, "emptyDir", &tree_.mapping(at)));
  if (Node* step_template = tree_.edit_mapping(spec, "stepTemplate", at))
    add(*step_template, "volumeMounts", at, named(name, at, "mountPath", tree_.text(resource.path(), at)));
}

// Types that are not converted are kept by name: nothing is wrong until a run needs them.
void Converter::keep_unconverted(Node& spec, const std::vector<DeclaredResource>& resources) {
  for (const DeclaredResource& resource : resources) {
    if (resource.converted() || !is_resource_type(resource.type)) continue;
    context_.report(Severity::Warning, resource.at,
                    "resource `" + resource.name + "` has the type " + resource.type +
                        ", which Tekton removed and Kiln does not convert",
                    instead_of(resource.type));
    add(spec, "pipelineResources", resource.at, resource.node);
  }
}

}  // namespace kiln::dag
