#include "dag/convert.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "dag/converter.h"

namespace kiln::dag {
namespace {

constexpr std::string_view kV1 = "tekton.dev/v1";

bool convertible(std::string_view kind) {
  constexpr std::array<std::string_view, 7> kKinds{"Task",        "ClusterTask", "Pipeline", "TaskRun",
                                                   "PipelineRun", "StepAction",  "Run"};
  return std::ranges::find(kKinds, kind) != kKinds.end();
}

}  // namespace

const Node& convert(YamlFile& file, const Node& object, DecodeContext& context) {
  if (object.kind != Node::Kind::Mapping) return object;
  const std::string version = get_text(object, "apiVersion");
  if (version != "tekton.dev/v1beta1" && version != "tekton.dev/v1alpha1") return object;
  const std::string kind = get_text(object, "kind");
  if (!convertible(kind)) return object;
  return Converter(file, context, version == "tekton.dev/v1alpha1").object(object, kind);
}

const Node& Converter::object(const Node& object, std::string_view kind) {
  Node& out = tree_.copy(object);
  const auto set = [&](std::string_view key, std::string_view text) {
    Entry* entry = find_entry(out, key);
    entry->value = tree_.text(std::string(text), entry->value->at);
  };
  set("apiVersion", kind == "Run" ? "tekton.dev/v1beta1" : kV1);
  if (kind == "ClusterTask") set("kind", "Task");
  if (kind == "Run") set("kind", "CustomRun");
  if (kind == "Task" || kind == "ClusterTask") task_spec_at(out, "spec");
  if (kind == "Pipeline") pipeline_spec_at(out, "spec");
  if (kind == "PipelineRun") tree_.nested(out, "spec", [&](Node& spec) { pipeline_run(spec); });
  if (kind == "TaskRun") tree_.nested(out, "spec", [&](Node& spec) { task_run(spec); });
  if (kind == "Run") tree_.nested(out, "spec", [&](Node& spec) { custom_run(spec); });
  return out;
}

// taskRef and pipelineRef: a bundle is asked for through its resolver, a ClusterTask is a Task.
void Converter::reference(Node& owner, std::string_view key, std::string_view kind,
                          std::string_view service_account) {
  tree_.nested(owner, key, [&](Node& ref) {
    rename(ref, "resource", "params");  // of a resolver, before it was called params
    const std::optional<Entry> bundle = take(ref, "bundle");
    if (!bundle) {
      if (get_text(ref, "kind") == "ClusterTask") take(ref, "kind");
      return;
    }
    if (get(ref, "resolver") != nullptr) {
      context_.error(bundle->key_at, "expected exactly one, got both: bundle, resolver");
      return;
    }
    const Position at = bundle->value->at;
    put(ref, "resolver", bundle->key_at, tree_.text("bundles", bundle->key_at));
    add(ref, "params", bundle->key_at, named("bundle", at, "value", bundle->value));
    if (const std::optional<Entry> name = take(ref, "name"))
      add(ref, "params", name->key_at, named("name", name->value->at, "value", name->value));
    const std::optional<Entry> given = take(ref, "kind");
    const std::string asked = given ? to_lower(given->value->scalar) : std::string(kind);
    add(ref, "params", at, named("kind", at, "value", tree_.text(asked, at)));
    if (!service_account.empty())
      add(ref, "params", at,
          named("serviceAccount", at, "value", tree_.text(std::string(service_account), at)));
  });
}

void Converter::when(Node& owner) {
  tree_.each(owner, "when", [](Node& expression) {
    for (std::string_view key : {"input", "operator", "values"}) rename(expression, key, key);
  });
}

void Converter::drop(Node& owner, std::initializer_list<std::string_view> keys, std::string_view why) {
  std::vector<std::string> dropped;
  Position at;
  for (std::string_view key : keys)
    if (const std::optional<Entry> entry = take(owner, key)) {
      if (dropped.empty()) at = entry->key_at;
      dropped.push_back("`" + std::string(key) + "`");
    }
  if (dropped.empty()) return;
  context_.report(Severity::Note, at, join(dropped, ", ") + ": left out, " + std::string(why));
}

const Node* Converter::named(std::string name, Position at, std::string_view key, const Node* value) {
  Node& item = tree_.mapping(at);
  put(item, "name", at, tree_.text(std::move(name), at));
  if (value != nullptr) put(item, std::string(key), at, value);
  return &item;
}

void Converter::add(Node& owner, std::string_view key, Position at, const Node* item) {
  if (Node* list = tree_.edit_sequence(owner, key, at)) list->items.push_back(item);
}

void Converter::declare_params(Node& spec, const DeclaredResource& resource) {
  for (const ResourceField& field : resource_fields(resource.type)) {
    const std::optional<std::string_view> fallback =
        field.fallback || !resource.optional ? field.fallback : std::optional<std::string_view>("");
    const Node* value = fallback ? tree_.text(std::string(*fallback), resource.at) : nullptr;
    add(spec, "params", resource.at, named(resource.param(field.name), resource.at, "default", value));
  }
}

}  // namespace kiln::dag
