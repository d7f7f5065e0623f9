#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/diagnostic.h"

// The tekton.dev/v1 objects as values, named as the API names them. Everything a message could point at
// keeps its position. v1beta1 documents become this same model.
namespace kiln::dag {

// A string from a document, and where it stands.
struct Text {
  std::string value;
  Position at;
  bool empty() const { return value.empty(); }
  operator const std::string&() const { return value; }
  bool operator==(const Text&) const = default;
};

enum class ParamType { String, Array, Object };
std::string_view to_string(ParamType type);

// The value of a param or a result.
struct ParamValue {
  ParamType type = ParamType::String;
  std::string text;                           // String
  std::vector<std::string> items;             // Array
  std::map<std::string, std::string> fields;  // Object

  static ParamValue string(std::string text);
  static ParamValue array(std::vector<std::string> items);
  static ParamValue object(std::map<std::string, std::string> fields);
  bool operator==(const ParamValue&) const = default;
};

struct ParamSpec {
  Text name;
  ParamType type = ParamType::String;
  std::vector<std::string> properties;  // keys of an object param
  std::optional<ParamValue> default_value;
  Position default_at;
  std::vector<std::string> enumeration;
  std::string description;
};

struct Param {
  Text name;
  ParamValue value;
  Position at;  // of the value
};

struct ResultSpec {
  Text name;
  ParamType type = ParamType::String;
  std::vector<std::string> properties;
  std::optional<ParamValue> value;  // pipeline results; task results taken from a step's result
  Position value_at;
  std::string description;
};

struct WorkspaceDeclaration {
  Text name;
  std::string description;
  Text mount_path;  // empty: /workspace/<name>
  bool optional = false;
  bool read_only = false;
};

// `workspaces` of a step or sidecar: isolates the workspace to it.
struct WorkspaceUsage {
  Text name;
  Text mount_path;
};

struct EnvVar {
  Text name;
  Text value;
  Position value_from;  // line 0: a plain value. Otherwise where `valueFrom` stands; not readable yet
};

struct VolumeMount {
  Text name;
  Text mount_path;
  Text sub_path;
  bool read_only = false;
};

struct Volume {
  enum class Kind { EmptyDir, PersistentVolumeClaim, HostPath, ConfigMap, Secret, Projected, Csi, Other };
  Text name;
  Kind kind = Kind::EmptyDir;  // a volume without a source is an emptyDir
  Text source;                 // claim name, host path, …
};

struct When {
  Text input;
  Text op;  // "in" or "notin"
  std::vector<Text> values;
  Text cel;
  Position at;
};

struct ComputeResources {
  Text cpu_limit, memory_limit;
};

struct SecurityContext {
  std::optional<int64_t> run_as_user, run_as_group;
  bool read_only_root = false;
  bool privileged = false;
};

struct StepAction;

struct Step {
  Text name;
  Text image;
  std::vector<Text> command, args;
  Text script;
  Text working_dir;
  std::vector<EnvVar> env;
  bool env_from = false;
  std::vector<VolumeMount> volume_mounts;
  std::vector<WorkspaceUsage> workspaces;
  Text image_pull_policy;
  ComputeResources resources;
  SecurityContext security;
  Text timeout;
  Text on_error;
  Text ref;  // StepAction name
  Position ref_at;
  Text ref_resolver;
  std::shared_ptr<const StepAction> action;  // what `ref` means; set when a plan is made
  std::vector<Param> params;
  std::vector<ResultSpec> results;
  std::vector<When> when;
  Position at;
};

struct Sidecar {
  Text name;
  Position at;
};

struct TaskSpec {
  std::vector<ParamSpec> params;
  std::vector<ResultSpec> results;
  std::vector<WorkspaceDeclaration> workspaces;
  std::vector<Step> steps;
  std::optional<Step> step_template;
  std::vector<Sidecar> sidecars;
  std::vector<Volume> volumes;
  Position legacy_resources;  // `resources`, `inputs`, `outputs` of PipelineResources; line 0: none
  std::string description, display_name;
  Position at;
};

// A reference to a Task, Pipeline or StepAction that is not inline.
struct Ref {
  Text name;
  Text kind;         // Task (default), Pipeline, or a custom task's kind
  Text api_version;  // not tekton.dev: a custom task
  Text resolver;     // bundles, git, http, hub, cluster; empty: by name
  std::vector<Param> params;
  Position at;  // line 0: there is no reference
  bool given() const { return at.line > 0; }
};

struct WorkspacePipelineTaskBinding {
  Text name;       // as the Task calls it
  Text workspace;  // as the Pipeline calls it; defaults to `name`
  Text sub_path;
};

struct PipelineTask {
  Text name;
  std::string display_name;
  Ref task_ref;
  std::shared_ptr<const TaskSpec> task_spec;  // shared with the Plan, which keeps it
  std::vector<Text> run_after;
  std::vector<Param> params;
  std::vector<WorkspacePipelineTaskBinding> workspaces;
  std::vector<When> when;
  int retries = 0;
  Text timeout;
  Text on_error;
  Position matrix;        // line 0: none
  Position pipeline_ref;  // pipelineRef or pipelineSpec; line 0: none
  Position at;
};

struct PipelineSpec {
  std::vector<ParamSpec> params;
  std::vector<WorkspaceDeclaration> workspaces;
  std::vector<PipelineTask> tasks, finally;
  std::vector<ResultSpec> results;
  std::string description, display_name;
  Position at;
};

// A workspace as a run provides it.
struct WorkspaceBinding {
  enum class Kind {
    RunFolder,   // one fresh folder per run, shared by its tasks: volumeClaimTemplate, or nobody bound it
    EmptyDir,    // a fresh folder per TaskRun
    HostFolder,  // `source` is a folder of this machine: -w name=DIR
    Claim,       // `source` is a PersistentVolumeClaim: a kept folder
    ConfigMap,   // `source` is the object's name, as for Secret
    Secret,
    Other,  // projected, csi
  };
  Text name;
  Kind kind = Kind::RunFolder;
  std::string source;
  Text sub_path;
  bool read_only = false;
};

struct Timeouts {
  Text pipeline, tasks, finally;
};

struct Metadata {
  Text name;
  Text generate_name;
  std::map<std::string, std::string> annotations;
  // What to call the object in a message and on the command line.
  std::string display() const;
};

// What every document has: where it came from and what it is called.
struct Object {
  std::string file;
  Metadata metadata;
  Position at;
};

struct Task : Object {
  std::shared_ptr<const TaskSpec> spec;
};

struct StepAction : Object {
  Step step;  // name empty
  std::vector<ParamSpec> params;
};

struct Pipeline : Object {
  PipelineSpec spec;
};

// A PipelineResource of v1alpha1, as a document.
struct PipelineResource : Object {
  std::string type;
  std::map<std::string, Text> params;  // by the field's own spelling
};

// What a run gives for a resource of its Pipeline (`source-repo`) or Task (`inputs.workspace`); convert.h.
struct ResourceBinding {
  Text name;
  Text ref;          // a PipelineResource's name; empty: given here
  std::string type;  // given here, as are its params
  std::map<std::string, Text> params;
  Position at;
};

struct PipelineRun : Object {
  Ref pipeline_ref;
  std::shared_ptr<const PipelineSpec> pipeline_spec;
  std::vector<Param> params;
  std::vector<WorkspaceBinding> workspaces;
  Timeouts timeouts;
  std::vector<ResourceBinding> resources;
};

struct TaskRun : Object {
  Ref task_ref;
  std::shared_ptr<const TaskSpec> task_spec;
  std::vector<Param> params;
  std::vector<WorkspaceBinding> workspaces;
  Text timeout;
  int retries = 0;
  std::vector<ResourceBinding> resources;
};

// A document of a kind that Kiln does not run, by name only.
struct OtherObject : Object {
  std::string kind;
};

}  // namespace kiln::dag
