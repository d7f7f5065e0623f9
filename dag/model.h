#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "dag/container.h"
#include "dag/value.h"

// The tekton.dev/v1 objects as values, named as the API names them. Documents of v1beta1 and v1alpha1 become
// this same model before they are decoded (convert.h).
namespace kiln::dag {

using Labels = std::map<std::string, std::string>;

struct WorkspaceDeclaration {
  Text name;
  std::string description;
  Text mount_path;  // empty: /workspace/<name>
  bool optional = false;
  bool read_only = false;
};

struct TaskSpec {
  std::vector<ParamSpec> params;
  std::vector<ResultSpec> results;
  std::vector<WorkspaceDeclaration> workspaces;
  std::vector<Step> steps;
  std::optional<Step> step_template;
  std::vector<Sidecar> sidecars;
  std::vector<Volume> volumes;
  std::string description, display_name;
  Labels annotations, labels;               // `metadata` of an inline spec
  std::vector<Text> unconverted_resources;  // types of PipelineResources that have no place in v1; convert.h
  bool unreadable = false;                  // `steps` are no list: reported when they were read
  Position at;
};

struct WorkspacePipelineTaskBinding {
  Text name;       // as the Task calls it
  Text workspace;  // as the Pipeline calls it; defaults to `name`
  Text sub_path;
};

struct MatrixInclude {
  Text name;
  std::vector<Param> params;
  Position at;
};

// Fan-out: one TaskRun for each combination of `params`, whose values are arrays, and what `include` adds.
struct Matrix {
  std::vector<Param> params;
  std::vector<MatrixInclude> include;
  Position at;
};

// The inline spec of a custom task. Only the controller named by apiVersion and kind knows what it means.
struct CustomSpec {
  Text api_version, kind;
  std::string json;  // of `spec`, as text; empty when not given
  Labels annotations, labels;
};

struct PipelineSpec;

struct PipelineTask {
  Text name;
  std::string display_name, description;
  // Exactly one of these five, or mistakes are reported.
  std::vector<Text> kinds;  // the fields given of taskRef, taskSpec, …, and where their names stand
  Ref task_ref;             // a Task, or a custom task when its apiVersion is not Tekton's
  std::shared_ptr<const TaskSpec> task_spec;  // shared with the Plan, which keeps it
  std::optional<CustomSpec> custom_spec;
  Ref pipeline_ref;
  std::shared_ptr<const PipelineSpec> pipeline_spec;

  std::vector<Text> run_after;
  std::vector<Param> params;
  std::optional<Matrix> matrix;
  std::vector<WorkspacePipelineTaskBinding> workspaces;
  std::vector<When> when;
  int retries = 0;
  Text timeout;
  Text on_error;
  Position at;
};

struct PipelineSpec {
  std::vector<ParamSpec> params;
  std::vector<WorkspaceDeclaration> workspaces;
  std::vector<PipelineTask> tasks, finally;
  std::vector<ResultSpec> results;
  std::string description, display_name;
  bool unreadable = false;  // `tasks` are no list: reported when they were read
  Position at;
};

// A workspace as a run provides it.
struct WorkspaceBinding {
  enum class Kind {
    RunFolder,   // one fresh folder per run, shared by its tasks: volumeClaimTemplate, or nobody bound it
    HostFolder,  // `folder` is one of this machine: -w name=DIR
    Volume,      // `source`: an emptyDir is fresh for each TaskRun, a claim is a kept folder
  };
  Text name;
  Kind kind = Kind::RunFolder;
  std::string folder;  // HostFolder: its path; RunFolder: its name within the run
  VolumeSource source;
  Text sub_path;
  bool is(VolumeSource::Kind volume) const { return kind == Kind::Volume && source.kind == volume; }
};

struct Timeouts {
  Text pipeline, tasks, finally;
};

struct Metadata {
  Text name;
  Text generate_name;
  Labels annotations, labels;
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
  std::shared_ptr<const PipelineSpec> spec;
};

// computeResources of one step or sidecar, as a run overrides it.
struct ContainerOverride {
  Text name;
  ComputeResources resources;
};

// What a run says about one TaskRun: `taskRunTemplate`, an item of `taskRunSpecs`, or a TaskRun's own spec.
struct TaskRunSettings {
  Text pipeline_task;  // taskRunSpecs only
  Text service_account;
  PodTemplate pod_template;
  std::vector<ContainerOverride> steps, sidecars;
  ComputeResources resources;  // of all steps together
  Text timeout;
  Labels annotations, labels;
  Position at;
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
  TaskRunSettings settings;  // taskRunTemplate
  std::vector<TaskRunSettings> task_run_specs;
  Text status;  // "", Cancelled, CancelledRunFinally, StoppedRunFinally, PipelineRunPending
  std::vector<ResourceBinding> resources;
};

struct TaskRun : Object {
  Ref task_ref;
  std::shared_ptr<const TaskSpec> task_spec;
  std::vector<Param> params;
  std::vector<WorkspaceBinding> workspaces;
  TaskRunSettings settings;
  int retries = 0;
  Text status;                    // "", TaskRunCancelled, TaskRunPending
  std::vector<Text> breakpoints;  // debug.breakpoints: "onFailure", or names of steps to stop before
  std::vector<ResourceBinding> resources;
};

struct CustomRun : Object {
  Ref ref;
  std::optional<CustomSpec> spec;
  std::vector<Param> params;
  std::vector<WorkspaceBinding> workspaces;
  Text timeout;
  Text service_account;
  Text status;
  int retries = 0;
};

// ConfigMap and Secret: values by key, Secrets decoded from base64.
struct KeyValues : Object {
  std::map<std::string, std::string> values;
  std::string type;  // of a Secret: Opaque, kubernetes.io/basic-auth, …
};

struct ServiceAccount : Object {
  std::vector<Text> secrets, image_pull_secrets;
};

// A document of a kind that Kiln does not run, by name only. Also a PersistentVolumeClaim: its name is all
// that a folder needs.
struct OtherObject : Object {
  std::string kind;
};

}  // namespace kiln::dag
