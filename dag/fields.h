#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dag/model.h"
#include "dag/yaml.h"

// Decoding of YAML nodes into the model. Used by decode_*.cc only.
namespace kiln::dag {

// Where mistakes found while decoding go.
struct DecodeContext {
  std::string file;
  Diagnostics& diagnostics;

  void report(Severity severity, Position at, std::string message, std::string hint = {}) {
    diagnostics.push_back({severity, file, at, std::move(message), std::move(hint)});
  }
  void error(Position at, std::string message, std::string hint = {}) {
    report(Severity::Error, at, std::move(message), std::move(hint));
  }
};

// One mapping being read. Each field asked for is thereby known; done() reports the fields of the document
// that nobody asked for, with the nearest known name. Names match as Go's JSON does: exactly, else without
// regard to case (with a warning). A name that is no field of anything and near the one asked for is reported
// and then read as if it were spelt right: one slip is one error, and what stands below it is checked too.
class Fields {
 public:
  // `what` names the mapping in messages: "step", "pipeline task". A node that is no mapping is reported
  // and then reads as empty; a null node reads as empty without a word.
  Fields(DecodeContext& context, const Node& node, std::string_view what);

  const Node* find(std::string_view key);        // nullptr: absent or null
  const Node* find_given(std::string_view key);  // nullptr: absent only
  // Like find, and reports a node of another kind than the one asked for.
  const Node* sequence(std::string_view key);
  const Node* mapping(std::string_view key);
  // The items of a sequence; none when it is absent.
  const std::vector<const Node*>& items(std::string_view key);

  Text text(std::string_view key);
  // Text, where Kubernetes also takes a number (quantities, ports, int-or-string).
  Text scalar(std::string_view key);
  std::vector<Text> texts(std::string_view key);
  bool flag(std::string_view key, bool fallback = false);
  std::optional<bool> optional_flag(std::string_view key);
  std::optional<int64_t> integer(std::string_view key);
  Labels labels(std::string_view key);  // a mapping of strings

  // Fields that are valid and that Kiln has no use for.
  void ignore(std::initializer_list<std::string_view> keys);
  // Likewise, where somebody may count on them: a note says that they have no effect here.
  void ignore_aloud(std::initializer_list<std::string_view> keys);
  void done();

  Position at() const { return node_.at; }
  // Where the name of a field stands; where the mapping begins when the field is not given.
  Position key_at(std::string_view key) const;
  // Whether a mistake about this field was reported: its name is misspelt, or it is of the wrong kind. What
  // it should have held is then not missing.
  bool reported(std::string_view key) const;

 private:
  size_t find_misspelt(std::string_view key);

  DecodeContext& context_;
  const Node& node_;
  std::string_view what_;
  std::vector<bool> used_;
  std::vector<std::string_view> known_;
  std::vector<size_t> strange_;  // entries whose name is no field of anything
  std::vector<std::string> reported_;
};

// Lower-case letters, digits and "-", at most 63: names of tasks and steps (RFC 1123).
bool is_dns_label(std::string_view name);
// Letters, digits, "-", "_", ".", with a letter or digit at both ends: other names. Both are safe as file
// names.
bool is_plain_name(std::string_view name);
// A name that Kubernetes takes for an object: lower-case letters, digits, "-" and "."; at most 63 here, since
// it becomes a label.
bool is_object_name(std::string_view name);
// Reports a name that is not plain. An empty one is somebody else's mistake.
void check_plain_name(DecodeContext& context, const Text& name, std::string_view what);

Text text_of(DecodeContext& context, const Node& node, std::string_view field);
Text scalar_of(DecodeContext& context, const Node& node, std::string_view field);
std::optional<int64_t> integer_of(DecodeContext& context, const Node& node, std::string_view field);
ParamValue param_value(const Node& node);
// A node as JSON, as Kubernetes would store it.
std::string json_of(const Node& node);

// decode_params.cc
std::vector<ParamSpec> decode_param_specs(DecodeContext& context, Fields& fields);
// Names have to differ: exactly, or also by more than case, as in a run and a resolver's params.
enum class NamesDiffer { Exactly, ByMoreThanCase };
std::vector<Param> decode_params(DecodeContext& context, Fields& fields,
                                 NamesDiffer names = NamesDiffer::Exactly);
std::vector<ResultSpec> decode_results(DecodeContext& context, Fields& fields);
std::vector<WorkspaceDeclaration> decode_workspaces(DecodeContext& context, Fields& fields);

// decode_volume.cc
std::vector<VolumeSource> decode_volume_sources(DecodeContext& context, Fields& fields);
std::vector<Volume> decode_volumes(DecodeContext& context, Fields& fields);

// decode_container.cc
void decode_container(DecodeContext& context, Fields& fields, Container& out);  // all but its name
std::vector<EnvVar> decode_env(DecodeContext& context, Fields& fields);
SecurityContext decode_security(DecodeContext& context, Fields& fields);
ComputeResources decode_resources(DecodeContext& context, Fields& fields, std::string_view key);
std::optional<Probe> decode_probe(DecodeContext& context, Fields& fields, std::string_view key);
std::vector<ContainerPort> decode_ports(DecodeContext& context, Fields& fields);

// decode_step.cc
std::vector<When> decode_when(DecodeContext& context, Fields& fields);
Step decode_step(DecodeContext& context, const Node& node, std::string_view what);
Sidecar decode_sidecar(DecodeContext& context, const Node& node);
StepAction decode_step_action(DecodeContext& context, const Node& node);

// decode_task.cc
// The `metadata` inside a spec: what the run made of it gets beside its own.
void decode_run_metadata(DecodeContext& context, Fields& fields, Labels& annotations, Labels& labels);
std::shared_ptr<const TaskSpec> decode_task_spec(DecodeContext& context, const Node& node);

// decode_pipeline.cc
Ref decode_ref(DecodeContext& context, const Node& node, std::string_view what);
CustomSpec decode_custom_spec(DecodeContext& context, const Node& node);
PipelineSpec decode_pipeline_spec(DecodeContext& context, const Node& node);

// decode_run.cc
PipelineRun decode_pipeline_run(DecodeContext& context, const Node& node);
TaskRun decode_task_run(DecodeContext& context, const Node& node);
CustomRun decode_custom_run(DecodeContext& context, const Node& node);

// decode_object.cc: of core/v1. `object` is the whole document.
KeyValues decode_config_map(DecodeContext& context, Fields& object);
KeyValues decode_secret(DecodeContext& context, Fields& object);
ServiceAccount decode_service_account(DecodeContext& context, Fields& object);

}  // namespace kiln::dag
