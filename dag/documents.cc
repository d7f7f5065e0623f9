#include "dag/documents.h"

#include <array>

#include "base/text.h"
#include "dag/convert.h"
#include "dag/convert_bindings.h"
#include "dag/fields.h"
#include "dag/yaml.h"

namespace kiln::dag {
namespace {

Metadata decode_metadata(DecodeContext& context, Fields& object) {
  Metadata metadata;
  const Node* node = object.mapping("metadata");
  if (node == nullptr) return metadata;
  Fields fields(context, *node, "metadata");
  metadata.name = fields.text("name");
  metadata.generate_name = fields.text("generateName");
  check_plain_name(context,
                   {metadata.display(), metadata.name.empty() ? metadata.generate_name.at : metadata.name.at},
                   "object");
  if (const Node* annotations = fields.mapping("annotations"))
    for (const Entry& entry : annotations->entries) metadata.annotations[entry.key] = entry.value->scalar;
  fields.ignore({"labels", "namespace", "creationTimestamp", "uid", "resourceVersion", "generation",
                 "finalizers", "ownerReferences", "managedFields", "selfLink"});
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
    if (kind.value.ends_with("List") || kind.value == "List") {
      if (const Node* items = fields.sequence("items")) {
        for (const Node* item : items->items) object(*item);
        return;
      }
    }
    if (!api_version.value.starts_with("tekton.dev/")) {
      if (suspicious(kind) && api_version.empty())
        context_.error(node.at, "an object needs an `apiVersion`",
                       "for " + kind.value + ": `apiVersion: tekton.dev/v1`");
      else
        skip(fields, node, kind);
      return;
    }
    check_version(api_version);
    tekton_object(fields, node, kind);
  }

 private:
  static bool suspicious(const Text& kind) {
    constexpr std::array<std::string_view, 5> kOurs{"Task", "Pipeline", "TaskRun", "PipelineRun",
                                                    "StepAction"};
    return std::ranges::find(kOurs, kind.value) != kOurs.end();
  }

  void check_version(const Text& api_version) {
    constexpr std::array<std::string_view, 3> kVersions{"tekton.dev/v1", "tekton.dev/v1beta1",
                                                        "tekton.dev/v1alpha1"};
    if (std::ranges::find(kVersions, api_version.value) == kVersions.end())
      context_.error(api_version.at, "unknown apiVersion \"" + api_version.value + "\"",
                     "did you mean `tekton.dev/v1`?");
  }

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
  void keep(std::deque<T>& where, T object, Metadata metadata, const Node& node, std::string_view kind) {
    object.file = context_.file;
    object.at = node.at;
    object.metadata = std::move(metadata);
    const bool run = kind.ends_with("Run");
    if (object.metadata.name.empty() && (!run || object.metadata.generate_name.empty())) {
      context_.error(node.at, std::string(kind) + " needs a name under `metadata`",
                     run ? "`name` or `generateName`" : "metadata: {name: …}");
    }
    for (const T& other : where)
      if (!object.metadata.name.empty() && other.metadata.name.value == object.metadata.name.value)
        context_.error(object.metadata.name.at,
                       std::string(kind) + " `" + object.metadata.name.value + "` is defined twice",
                       "the other is at " + other.file + ":" + std::to_string(other.metadata.name.at.line));
    where.push_back(std::move(object));
  }

  void tekton_object(Fields& fields, const Node& node, const Text& kind) {
    const std::string& k = kind.value;
    if (!suspicious(kind) && k != "ClusterTask" && k != "PipelineResource") {
      static const std::vector<std::string> kKinds{"Task", "Pipeline", "TaskRun", "PipelineRun",
                                                   "StepAction"};
      const auto near = nearest(k, kKinds);
      if (near && k != "Run") {
        context_.error(kind.at, "unknown kind \"" + k + "\"", "did you mean `" + *near + "`?");
        return;
      }
      skip(fields, node, kind);
      return;
    }
    Metadata metadata = decode_metadata(context_, fields);
    const Node* found = fields.mapping("spec");
    static const Node kNothing{.kind = Node::Kind::Mapping};
    if (found == nullptr) context_.error(node.at, k + " needs a `spec`");
    const Node& spec = found ? *found : kNothing;
    fields.ignore({"status"});
    fields.done();
    if (k == "Task" || k == "ClusterTask") {
      Task task;
      task.spec = decode_task_spec(context_, spec);
      keep(documents_.tasks, std::move(task), std::move(metadata), node, k);
    } else if (k == "Pipeline") {
      Pipeline pipeline;
      pipeline.spec = decode_pipeline_spec(context_, spec);
      keep(documents_.pipelines, std::move(pipeline), std::move(metadata), node, k);
    } else if (k == "PipelineResource") {
      keep(documents_.pipeline_resources, decode_pipeline_resource(context_, spec), std::move(metadata), node,
           k);
    } else if (k == "PipelineRun") {
      if (found == nullptr) return;
      keep(documents_.pipeline_runs, decode_pipeline_run(context_, spec), std::move(metadata), node, k);
    } else if (k == "TaskRun") {
      if (found == nullptr) return;
      keep(documents_.task_runs, decode_task_run(context_, spec), std::move(metadata), node, k);
    } else {
      keep(documents_.step_actions, decode_step_action(context_, spec), std::move(metadata), node, k);
    }
  }

  Documents& documents_;
  YamlFile& yaml_;
  DecodeContext& context_;
};

template <class T>
const T* by_name(const std::deque<T>& objects, std::string_view name) {
  for (const T& object : objects)
    if (object.metadata.name.value == name) return &object;
  return nullptr;
}

}  // namespace

const Task* Documents::task(std::string_view name) const {
  return by_name(tasks, name);
}
const Pipeline* Documents::pipeline(std::string_view name) const {
  return by_name(pipelines, name);
}
const StepAction* Documents::step_action(std::string_view name) const {
  return by_name(step_actions, name);
}

void load(Documents& documents, std::string file, std::string text, Diagnostics& diagnostics) {
  DecodeContext context{file, diagnostics};
  YamlFile yaml = parse_yaml(file, text, diagnostics);
  Loader loader(documents, yaml, context);
  for (const Node* document : yaml.documents) loader.object(*document);
  documents.sources[std::move(file)] = std::move(text);
}

std::string render(Diagnostics diagnostics, const Documents& documents) {
  std::ranges::stable_sort(diagnostics, [](const Diagnostic& a, const Diagnostic& b) {
    return std::tie(a.file, a.at) < std::tie(b.file, b.at);
  });
  std::string out;
  for (const Diagnostic& diagnostic : diagnostics) {
    const auto source = documents.sources.find(diagnostic.file);
    out += kiln::render(diagnostic, source == documents.sources.end() ? std::string_view() : source->second);
  }
  return out;
}

Position locate(std::string_view source, Position from, std::string_view needle) {
  if (from.line <= 0 || needle.empty()) return from;
  if (source.starts_with("\xEF\xBB\xBF")) source.remove_prefix(3);
  size_t offset = 0;
  for (int line = 1; line < from.line; ++line) {
    offset = source.find('\n', offset);
    if (offset == std::string_view::npos) return from;
    ++offset;
  }
  offset += static_cast<size_t>(from.column > 0 ? from.column - 1 : 0);
  const size_t found = offset <= source.size() ? source.find(needle, offset) : std::string_view::npos;
  if (found == std::string_view::npos) return from;
  Position at = from;
  for (size_t i = offset; i < found; ++i)
    at = source[i] == '\n' ? Position{at.line + 1, 1} : Position{at.line, at.column + 1};
  return at;
}

}  // namespace kiln::dag
