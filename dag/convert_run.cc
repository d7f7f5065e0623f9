#include <algorithm>

#include "base/text.h"
#include "dag/converter.h"

namespace kiln::dag {

using Owner = DeclaredResource::Owner;

void Converter::pipeline_run(Node& spec) {
  if (alpha_) {
    rename(spec, "serviceAccount", "serviceAccountName");
    drop(spec, {"trigger", "results", "generation"}, "a PipelineRun has no such field in tekton.dev/v1");
  }
  pod_fields(spec);
  reference(spec, "pipelineRef", "pipeline", get_text(spec, "serviceAccountName"));
  pipeline_spec_at(spec, "pipelineSpec");
  service_accounts(spec);
  tree_.each(spec, "taskRunSpecs", [&](Node& task) {
    rename(task, "taskServiceAccountName", "serviceAccountName");
    rename(task, "taskPodTemplate", "podTemplate");
    step_overrides(task);
  });
  if (Entry* timeout = find_entry(spec, "timeout")) {
    if (find_entry(spec, "timeouts") != nullptr) {
      context_.error(timeout->key_at, "expected exactly one, got both: timeout, timeouts");
      take(spec, "timeout");
    } else {
      Node& timeouts = tree_.mapping(timeout->value->at);
      put(timeouts, "pipeline", timeout->key_at, timeout->value);
      timeout->key = "timeouts";
      timeout->value = &timeouts;
    }
  }
  for (std::string_view key : {"serviceAccountName", "podTemplate"})
    if (const std::optional<Entry> entry = take(spec, key))
      if (Node* tasks = tree_.edit_mapping(spec, "taskRunTemplate", entry->key_at))
        put(*tasks, std::string(key), entry->key_at, entry->value);
  if (Entry* status = find_entry(spec, "status"); status && status->value->scalar == "PipelineRunCancelled")
    status->value = tree_.text("Cancelled", status->value->at);
  rename(spec, "resources", "pipelineResources");
}

void Converter::task_run(Node& spec) {
  const Node* inputs = nullptr;
  const Node* outputs = nullptr;
  if (alpha_) {
    rename(spec, "serviceAccount", "serviceAccountName");
    drop(spec, {"trigger", "results", "generation"}, "a TaskRun has no such field in tekton.dev/v1");
    alpha_inputs(spec, inputs, outputs);
  }
  pod_fields(spec);
  reference(spec, "taskRef", "task", get_text(spec, "serviceAccountName"));
  task_spec_at(spec, "taskSpec");
  step_overrides(spec);
  if (const std::optional<Entry> resources = take(spec, "resources")) {
    if (resources->value->kind == Node::Kind::Mapping) {
      if (const Node* list = get(*resources->value, "inputs")) inputs = list;
      if (const Node* list = get(*resources->value, "outputs")) outputs = list;
    } else {
      context_.error(resources->value->at, "`resources` takes `inputs` and `outputs`");
    }
  }
  task_run_resources(spec, inputs, Owner::Input);
  task_run_resources(spec, outputs, Owner::Output);
}

void Converter::task_run_resources(Node& spec, const Node* bindings, Owner owner) {
  if (bindings == nullptr) return;
  if (bindings->kind != Node::Kind::Sequence) {
    context_.error(bindings->at, "`resources` takes a list of PipelineResources");
    return;
  }
  for (const Node* item : bindings->items) {
    if (item->kind != Node::Kind::Mapping) {
      context_.error(item->at, "a resource needs a `name`");
      continue;
    }
    Node& binding = tree_.copy(*item);
    drop(binding, {"paths"}, "a resource is where the Task has it");
    if (Entry* name = find_entry(binding, "name"); name && name->value->kind == Node::Kind::Scalar) {
      const std::string family = owner == Owner::Input ? "inputs." : "outputs.";
      name->value = tree_.text(family + name->value->scalar, name->value->at);
    }
    add(spec, "pipelineResources", bindings->at, &binding);
  }
}

// v1alpha1's Run is v1beta1's CustomRun.
void Converter::custom_run(Node& spec) {
  rename(spec, "ref", "customRef");
  rename(spec, "spec", "customSpec");
  drop(spec, {"podTemplate"}, "a CustomRun has no pod");
}

void Converter::step_overrides(Node& owner) {
  rename(owner, "stepOverrides", "stepSpecs");
  rename(owner, "sidecarOverrides", "sidecarSpecs");
  for (std::string_view key : {"stepSpecs", "sidecarSpecs"})
    tree_.each(owner, key, [](Node& node) { rename(node, "resources", "computeResources"); });
}

// serviceAccountNames: [{taskName, serviceAccountName}] → taskRunSpecs.
void Converter::service_accounts(Node& spec) {
  for (std::string_view key : {"serviceAccountNames", "serviceAccounts"}) {
    const std::optional<Entry> accounts = take(spec, key);
    if (!accounts) continue;
    if (accounts->value->kind != Node::Kind::Sequence) {
      context_.error(accounts->value->at, "`" + std::string(key) + "` takes a list");
      continue;
    }
    for (const Node* item : accounts->value->items) {
      if (item->kind != Node::Kind::Mapping) continue;
      Node& task = tree_.copy(*item);
      rename(task, "taskName", "pipelineTaskName");
      rename(task, "serviceAccount", "serviceAccountName");
      add(spec, "taskRunSpecs", accounts->key_at, &task);
    }
  }
}

// Before there was a podTemplate, its first fields stood in the spec.
void Converter::pod_fields(Node& spec) {
  if (!alpha_) return;
  for (std::string_view key : {"nodeSelector", "tolerations", "affinity"})
    if (const std::optional<Entry> entry = take(spec, key))
      if (Node* pod = tree_.edit_mapping(spec, "podTemplate", entry->key_at))
        put(*pod, std::string(key), entry->key_at, entry->value);
}

}  // namespace kiln::dag
