// Conversion of whatever a file may hold: never falls over, converts once and for all, and every node it
// makes stands where some node of the file stood. Input that starts with `!` draws a tree from the words of
// the old API; other input is YAML.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <set>
#include <string>
#include <unordered_set>

#include "dag/convert.h"
#include "dag/documents.h"

namespace {

using namespace kiln::dag;
using kiln::Diagnostics;
using kiln::Position;

constexpr std::array<std::string_view, 62> kWords{"apiVersion",
                                                  "kind",
                                                  "metadata",
                                                  "spec",
                                                  "name",
                                                  "tasks",
                                                  "finally",
                                                  "resources",
                                                  "inputs",
                                                  "outputs",
                                                  "params",
                                                  "type",
                                                  "git",
                                                  "image",
                                                  "storage",
                                                  "targetPath",
                                                  "optional",
                                                  "true",
                                                  "resource",
                                                  "from",
                                                  "runAfter",
                                                  "taskRef",
                                                  "taskSpec",
                                                  "pipelineRef",
                                                  "pipelineSpec",
                                                  "bundle",
                                                  "steps",
                                                  "stepTemplate",
                                                  "sidecars",
                                                  "workspaces",
                                                  "volumes",
                                                  "a",
                                                  "b",
                                                  "matrix",
                                                  "when",
                                                  "Input",
                                                  "conditions",
                                                  "timeout",
                                                  "timeouts",
                                                  "serviceAccountName",
                                                  "podTemplate",
                                                  "taskRunTemplate",
                                                  "taskRunSpecs",
                                                  "serviceAccountNames",
                                                  "taskName",
                                                  "stepOverrides",
                                                  "resourceRef",
                                                  "resourceSpec",
                                                  "paths",
                                                  "value",
                                                  "status",
                                                  "nodeSelector",
                                                  "default",
                                                  "$(inputs.resources.a.url)",
                                                  "${outputs.resources.b.path}",
                                                  "$(resources.inputs.a.revision) ${x}",
                                                  "${inputs.params.a}$(",
                                                  "$(inputs.params[",
                                                  "$$(resources.outputs..)",
                                                  "${params.a}",
                                                  "",
                                                  "containerTemplate"};
constexpr std::array<std::string_view, 7> kKinds{"Task",        "ClusterTask", "Pipeline", "TaskRun",
                                                 "PipelineRun", "StepAction",  "Run"};

// A tree drawn from bytes; nodes are shared now and then, as aliases share them.
class Drawing {
 public:
  Drawing(YamlFile& file, const uint8_t* data, size_t size) : file_(file), data_(data), size_(size) {}

  const Node* object() {
    const uint8_t choice = next();
    Node& root = node(Node::Kind::Mapping);
    const auto entry = [&](const char* key, const Node* value) {
      root.entries.push_back({key, root.at, value});
    };
    entry("apiVersion", scalar(choice & 1 ? "tekton.dev/v1alpha1" : "tekton.dev/v1beta1"));
    entry("kind", scalar(kKinds[choice / 2 % kKinds.size()]));
    entry("spec", tree(0));
    return &root;
  }

 private:
  uint8_t next() { return at_ < size_ ? data_[at_++] : 0; }
  Node& node(Node::Kind kind) {
    Node& made = file_.nodes.emplace_back();
    made.kind = kind;
    made.at = {static_cast<int>(file_.nodes.size()), 1};
    return made;
  }
  const Node* scalar(std::string_view text) {
    Node& made = node(Node::Kind::Scalar);
    made.plain = next() & 1;
    made.scalar = text;
    return &made;
  }
  const Node* tree(int depth) {
    const uint8_t choice = next();
    if (choice > 240 && !finished_.empty()) return finished_[next() % finished_.size()];
    const Node* made = nullptr;
    if (depth > 12 || at_ >= size_ || choice % 4 == 0) {
      made = scalar(kWords[next() % kWords.size()]);
    } else if (choice % 4 == 1 && choice > 230) {
      made = &node(Node::Kind::Null);
    } else if (choice % 4 == 1) {
      Node& list = node(Node::Kind::Sequence);
      for (int i = choice / 4 % 6; i >= 0; --i) list.items.push_back(tree(depth + 1));
      made = &list;
    } else {
      Node& mapping = node(Node::Kind::Mapping);
      for (int i = choice / 4 % 8; i >= 0; --i) {
        const std::string_view key = kWords[next() % kWords.size()];
        mapping.entries.push_back({std::string(key), mapping.at, tree(depth + 1)});
      }
      made = &mapping;
    }
    finished_.push_back(made);
    return made;
  }

  YamlFile& file_;
  const uint8_t* data_;
  size_t size_;
  size_t at_ = 0;
  std::vector<const Node*> finished_;
};

void require(bool holds) {
  if (!holds) std::abort();
}

void check_positions(const Node& node, const std::set<Position>& known,
                     std::unordered_set<const Node*>& seen) {
  if (!seen.insert(&node).second) return;
  require(known.contains(node.at));
  for (const Node* item : node.items) check_positions(*item, known, seen);
  for (const Entry& entry : node.entries) {
    require(known.contains(entry.key_at));
    check_positions(*entry.value, known, seen);
  }
}

void check(YamlFile& file, const Node& given) {
  std::set<Position> known;
  for (const Node& node : file.nodes) {
    known.insert(node.at);
    for (const Entry& entry : node.entries) known.insert(entry.key_at);
  }
  Diagnostics diagnostics;
  DecodeContext context{"fuzz.yaml", diagnostics};
  const Node& converted = convert(file, given, context);
  for (const kiln::Diagnostic& diagnostic : diagnostics) require(known.contains(diagnostic.at));
  std::unordered_set<const Node*> seen;
  check_positions(converted, known, seen);
  const size_t nodes = file.nodes.size();
  require(&convert(file, converted, context) == &converted);
  require(file.nodes.size() == nodes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Diagnostics diagnostics;
  if (size > 0 && data[0] == '!') {
    YamlFile file;
    const Node* object = Drawing(file, data + 1, size - 1).object();
    check(file, *object);
    return 0;
  }
  const std::string text(reinterpret_cast<const char*>(data), size);
  YamlFile file = parse_yaml("fuzz.yaml", text, diagnostics);
  const std::vector<const Node*> documents = file.documents;
  for (const Node* document : documents) check(file, *document);
  Documents loaded;
  load(loaded, "fuzz.yaml", text, diagnostics);
  return 0;
}
