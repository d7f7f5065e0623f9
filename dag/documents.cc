#include "dag/documents.h"

#include <algorithm>

#include "base/lines.h"
#include "base/text.h"
#include "dag/convert.h"
#include "dag/convert_bindings.h"
#include "dag/fields.h"
#include "dag/yaml.h"

namespace kiln::dag {
namespace {

using Names = std::vector<std::string>;

// Of one file; nobody reads more, and a file of a million empty objects would take long to say so.
constexpr size_t kMostProblems = 10'000;

// Kinds of tekton.dev that are decoded. `Run` is converted before it gets here.
const Names kTektonKinds{"Task",        "ClusterTask", "Pipeline",  "TaskRun",
                         "PipelineRun", "StepAction",  "CustomRun", "PipelineResource"};
// Kinds of core/v1 that Tekton's objects name.
const Names kCoreKinds{"ConfigMap", "Secret", "ServiceAccount", "PersistentVolumeClaim"};
const Names kVersions{"tekton.dev/v1", "tekton.dev/v1beta1", "tekton.dev/v1alpha1"};

bool is_one_of(const Names& names, const std::string& word) {
  return std::ranges::find(names, word) != names.end();
}

std::string example_of(const std::string& kind) {
  if (kind == "Task" || kind == "ClusterTask") return "spec: {steps: […]}";
  if (kind == "Pipeline") return "spec: {tasks: […]}";
  if (kind == "PipelineRun") return "spec: {pipelineRef: {name: …}}";
  if (kind == "TaskRun") return "spec: {taskRef: {name: …}}";
  return "spec: {…}";
}

// A slip in the group: tekton/v1, tektn.dev/v1, v1.
bool looks_like_tekton(const std::string& api_version) {
  const std::string group = api_version.substr(0, api_version.find('/'));
  return iequals(group, "tekton") || api_version == "v1" || api_version == "v1beta1" ||
         nearest(group, Names{"tekton.dev"}).has_value();
}

Metadata decode_metadata(DecodeContext& context, Fields& object) {
  Metadata metadata;
  const Node* node = object.mapping("metadata");
  if (node == nullptr) return metadata;
  Fields fields(context, *node, "metadata");
  metadata.name = fields.text("name");
  metadata.generate_name = fields.text("generateName");
  const Text& name = metadata.name.empty() ? metadata.generate_name : metadata.name;
  if (!name.empty() && !is_object_name(metadata.display()))
    context.error(name.at,
                  name.value.size() > 63 ? "Invalid resource name: length must be no more than 63 characters"
                                         : "invalid resource name \"" + name.value.substr(0, 100) +
                                               "\": must be a valid DNS label",
                  "lower-case letters, digits, `-` and `.`, with a letter or digit at both ends, at most 63");
  metadata.annotations = fields.labels("annotations");
  metadata.labels = fields.labels("labels");
  fields.ignore({"namespace", "creationTimestamp", "uid", "resourceVersion", "generation", "finalizers",
                 "ownerReferences", "managedFields", "selfLink", "deletionTimestamp",
                 "deletionGracePeriodSeconds"});
  fields.done();
  return metadata;
}

class Loader {
 public:
  Loader(Documents& documents, YamlFile& yaml, DecodeContext& context)
      : documents_(documents), yaml_(yaml), context_(context) {}

  void object(const Node& given) {
    const Node& node = convert(yaml_, given, context_);
    if (node.kind != Node::Kind::Mapping) {
      context_.error(node.at, "expected a Kubernetes object (apiVersion, kind, metadata, spec)",
                     "documents are mappings; separate them with a line `---`");
      return;
    }
    Fields fields(context_, node, "object");
    const Text api_version = fields.text("apiVersion");
    const Text kind = fields.text("kind");
    if (kind.empty()) {
      context_.error(node.at, "an object needs a `kind`", "for example `kind: Pipeline`");
      return;
    }
    if (kind.value.ends_with("List")) {
      if (const Node* items = fields.sequence("items")) {
        for (const Node* item : items->items) object(*item);
        return;
      }
    }
    if (api_version.value.starts_with("tekton.dev/")) {
      if (!is_one_of(kVersions, api_version))
        context_.error(api_version.at, "unknown apiVersion \"" + api_version.value + "\"",
                       "did you mean `tekton.dev/v1`?");
      tekton_object(fields, node, kind);
    } else if (!api_version.empty() && is_one_of(kTektonKinds, kind) && looks_like_tekton(api_version)) {
      context_.error(api_version.at, "unknown apiVersion \"" + api_version.value + "\"",
                     "did you mean `tekton.dev/v1`?");
      tekton_object(fields, node, kind);
    } else if (api_version.empty() && is_one_of(kTektonKinds, kind)) {
      context_.error(node.at, "an object needs an `apiVersion`",
                     "for " + kind.value + ": `apiVersion: tekton.dev/v1`");
    } else if (api_version.value == "v1" && is_one_of(kCoreKinds, kind)) {
      core_object(fields, node, kind);
    } else {
      skip(fields, node, kind);
    }
  }

 private:
  // Kinds that a file merely contains are no mistake.
  void skip(Fields& fields, const Node& node, const Text& kind) {
    OtherObject other;
    other.file = context_.file;
    other.at = node.at;
    other.kind = kind;
    if (const Node* metadata = fields.find("metadata"))
      for (const Entry& entry : metadata->entries)
        if (entry.key == "name") other.metadata.name = {entry.value->scalar, entry.value->at};
    context_.report(Severity::Note, kind.at,
                    kind.value + (other.metadata.name.empty() ? "" : " `" + other.metadata.name.value + "`") +
                        " is not something Kiln runs: skipped");
    documents_.others.push_back(std::move(other));
  }

  template <class T>
  void keep(std::deque<T>& where, T object, Metadata metadata, const Node& node, const std::string& kind) {
    object.file = context_.file;
    object.at = node.at;
    object.metadata = std::move(metadata);
    const std::string name = object.metadata.name;
    const bool run = kind.ends_with("Run");
    if (name.empty() && (!run || object.metadata.generate_name.empty()))
      context_.error(node.at, kind + " needs a name under `metadata`",
                     run ? "`name` or `generateName`" : "metadata: {name: …}");
    where.push_back(std::move(object));
    if (name.empty()) return;
    const auto [other, fresh] = documents_.by_name.emplace(key_of(kind, name), &where.back());
    if (!fresh)
      context_.error(where.back().metadata.name.at, kind + " `" + name + "` is defined twice",
                     "the other is at " + other->second->file + ":" +
                         std::to_string(other->second->metadata.name.at.line));
  }

  static std::string key_of(const std::string& kind, const std::string& name) {
    return (kind == "ClusterTask" ? "Task" : kind) + "/" + name;
  }

  void tekton_object(Fields& fields, const Node& node, const Text& kind) {
    const std::string& k = kind.value;
    if (!is_one_of(kTektonKinds, k)) {
      if (const auto near = nearest(k, kTektonKinds))
        context_.error(kind.at, "unknown kind \"" + k + "\"", "did you mean `" + *near + "`?");
      else
        skip(fields, node, kind);
      return;
    }
    Metadata metadata = decode_metadata(context_, fields);
    const Node* found = fields.mapping("spec");
    static const Node kNothing{.kind = Node::Kind::Mapping};
    if (found == nullptr && !fields.reported("spec"))
      context_.error(node.at, k + " needs a `spec`", "it holds all but the name: " + example_of(k));
    const Node& spec = found ? *found : kNothing;
    fields.ignore({"status"});
    fields.done();
    const bool run = k.ends_with("Run");
    if (found == nullptr && (run || k == "StepAction")) return;
    if (k == "Task" || k == "ClusterTask") {
      Task task;
      task.spec =
          found ? decode_task_spec(context_, spec) : std::make_shared<TaskSpec>(TaskSpec{.unreadable = true});
      keep(documents_.tasks, std::move(task), std::move(metadata), node, k);
    } else if (k == "Pipeline") {
      Pipeline pipeline;
      pipeline.spec = std::make_shared<PipelineSpec>(found ? decode_pipeline_spec(context_, spec)
                                                           : PipelineSpec{.unreadable = true});
      keep(documents_.pipelines, std::move(pipeline), std::move(metadata), node, k);
    } else if (k == "PipelineResource") {
      keep(documents_.pipeline_resources, decode_pipeline_resource(context_, spec), std::move(metadata), node,
           k);
    } else if (k == "PipelineRun") {
      keep(documents_.pipeline_runs, decode_pipeline_run(context_, spec), std::move(metadata), node, k);
    } else if (k == "TaskRun") {
      keep(documents_.task_runs, decode_task_run(context_, spec), std::move(metadata), node, k);
    } else if (k == "CustomRun") {
      keep(documents_.custom_runs, decode_custom_run(context_, spec), std::move(metadata), node, k);
    } else {
      keep(documents_.step_actions, decode_step_action(context_, spec), std::move(metadata), node, k);
    }
  }

  void core_object(Fields& fields, const Node& node, const Text& kind) {
    Metadata metadata = decode_metadata(context_, fields);
    if (kind.value == "PersistentVolumeClaim") {  // here a folder: what it asks of a cluster does not matter
      OtherObject claim;
      claim.kind = kind;
      keep(documents_.claims, std::move(claim), std::move(metadata), node, kind);
      return;
    }
    if (kind.value == "ConfigMap")
      keep(documents_.config_maps, decode_config_map(context_, fields), std::move(metadata), node, kind);
    else if (kind.value == "Secret")
      keep(documents_.secrets, decode_secret(context_, fields), std::move(metadata), node, kind);
    else
      keep(documents_.service_accounts, decode_service_account(context_, fields), std::move(metadata), node,
           kind);
    fields.done();
  }

  Documents& documents_;
  YamlFile& yaml_;
  DecodeContext& context_;
};

template <class T>
const T* find(const Documents& documents, std::string kind, std::string_view name) {
  const auto found = documents.by_name.find(kind.append("/").append(name));
  return found == documents.by_name.end() ? nullptr : static_cast<const T*>(found->second);
}

}  // namespace

const Task* Documents::task(std::string_view name) const {
  return find<Task>(*this, "Task", name);
}
const Pipeline* Documents::pipeline(std::string_view name) const {
  return find<Pipeline>(*this, "Pipeline", name);
}
const KeyValues* Documents::secret(std::string_view name) const {
  return find<KeyValues>(*this, "Secret", name);
}

void load(Documents& documents, std::string file, std::string text, Diagnostics& diagnostics) {
  DecodeContext context{file, diagnostics};
  const size_t before = diagnostics.size();
  YamlFile yaml = parse_yaml(file, text, diagnostics);
  if (yaml.documents.empty() && diagnostics.size() == before)
    context.report(
        Severity::Warning, {}, "there is no document in this file",
        text.find_first_not_of(" \t\r\n") == std::string::npos ? "it is empty" : "it holds comments only");
  Loader loader(documents, yaml, context);
  for (const Node* document : yaml.documents) {
    if (diagnostics.size() - before > kMostProblems) {
      context.error(document->at, "more than " + std::to_string(kMostProblems) + " problems",
                    "the file is not looked at from here on");
      break;
    }
    loader.object(*document);
  }
  const std::string& source = documents.sources[file] = std::move(text);
  documents.places.insert_or_assign(std::move(file), Places(source));
}

namespace {

constexpr size_t kMostShown = 1000;

// What is beyond `kMostShown`, taken out: notes first, then warnings.
size_t leave_out(Diagnostics& diagnostics) {
  if (diagnostics.size() <= kMostShown) return 0;
  const size_t more = diagnostics.size() - kMostShown;
  std::ranges::stable_sort(diagnostics, {}, &Diagnostic::severity);
  diagnostics.resize(kMostShown);
  return more;
}

void sort_by_place(Diagnostics& diagnostics) {
  std::ranges::stable_sort(diagnostics, [](const Diagnostic& a, const Diagnostic& b) {
    return std::tie(a.file, a.at) < std::tie(b.file, b.at);
  });
}

}  // namespace

std::string render(Diagnostics diagnostics, const std::map<std::string, std::string>& sources) {
  sort_by_place(diagnostics);
  const size_t more = leave_out(diagnostics);
  if (more > 0) sort_by_place(diagnostics);
  std::map<std::string, Lines> lines;
  std::string out;
  for (const Diagnostic& diagnostic : diagnostics) {
    auto known = lines.find(diagnostic.file);
    if (known == lines.end()) {
      const auto source = sources.find(diagnostic.file);
      known =
          lines.emplace(diagnostic.file, Lines(source == sources.end() ? std::string_view() : source->second))
              .first;
    }
    out += kiln::render(diagnostic, known->second);
  }
  if (more > 0) out += "… and " + std::to_string(more) + " more; `kiln lint -o json` lists all of them\n";
  return out;
}

}  // namespace kiln::dag
