#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dag/value.h"

// What runs in a TaskRun's pod, and what is mounted into it: the fields of tekton.dev/v1 that come from
// Kubernetes' core/v1 containers and volumes. What only a cluster can honour (lifecycle, node
// selection) is read, so that it is no unknown field, and not kept.
namespace kiln::dag {

// `items` of a volume: which key becomes which file. Of a downwardAPI `key` is a field's path, or with
// `resource` a resource: "limits.cpu".
struct KeyToPath {
  Text key, path;
  std::optional<int64_t> mode;
  bool resource = false;
  Text container, divisor;  // with `resource`
};

// What a volume or a workspace is filled with.
struct VolumeSource {
  enum class Kind {
    EmptyDir,  // also a volume without any source
    PersistentVolumeClaim,
    HostPath,
    ConfigMap,
    Secret,
    Projected,
    Csi,
    DownwardApi,
    ServiceAccountToken,  // inside Projected only
    Other,                // the kinds of cloud storage
  };
  Kind kind = Kind::EmptyDir;
  Text name;  // of the claim, host path, ConfigMap, Secret, or CSI driver; the path of a token
  std::vector<KeyToPath> items;
  std::vector<VolumeSource> sources;  // Projected
  std::optional<int64_t> default_mode;
  bool optional = false;
  bool read_only = false;
  Text medium, size_limit;  // EmptyDir
  Position at;
};

struct Volume {
  Text name;
  VolumeSource source;
};

struct VolumeMount {
  Text name;
  Text mount_path;
  Text sub_path;
  Text sub_path_expr;  // instead of sub_path: with $(NAME) of the container's environment
  bool read_only = false;
};

struct VolumeDevice {
  Text name;
  Text device_path;
};

struct EnvVar {
  enum class From { Value, ConfigMapKey, SecretKey, Field, ResourceField };
  Text name;
  Text value;
  From from = From::Value;
  // Of the ConfigMap or Secret; `key` alone: the field's path; of a resource: the container, if not its own.
  Text object, key;
  bool optional = false;
  Text divisor;  // ResourceField
};

struct EnvFrom {
  bool secret = false;  // else a ConfigMap
  Text name;
  Text prefix;
  bool optional = false;
};

// `workspaces` of a step or sidecar: isolates the workspace to it.
struct WorkspaceUsage {
  Text name;
  Text mount_path;
};

struct ComputeResources {
  Text cpu_limit, memory_limit;
  Text cpu_request, memory_request;
};

struct SecurityContext {
  std::optional<int64_t> run_as_user, run_as_group;
  std::optional<bool> run_as_non_root, read_only_root, privileged, allow_privilege_escalation;
  std::vector<Text> add_capabilities, drop_capabilities;
  std::optional<int64_t> fs_group;           // of a pod template only
  std::vector<int64_t> supplemental_groups;  // likewise
  bool operator==(const SecurityContext&) const = default;
};

// What steps, sidecars and StepActions have in common.
struct Container {
  Text name;
  Text image;
  std::vector<Text> command, args;
  Text script;
  Text working_dir;
  std::vector<EnvVar> env;
  std::vector<EnvFrom> env_from;
  std::vector<VolumeMount> volume_mounts;
  std::vector<VolumeDevice> volume_devices;
  std::vector<WorkspaceUsage> workspaces;
  Text image_pull_policy;
  ComputeResources resources;
  SecurityContext security;
  Position at;
};

// A reference to a Task, Pipeline or StepAction that is not inline.
struct Ref {
  Text name;
  Text kind;         // Task (default), Pipeline, or a custom task's kind
  Text api_version;  // not tekton.dev: a custom task
  Text resolver;     // bundles, git, http, hub, cluster; empty: by name
  std::vector<Param> params;
  bool malformed = false;  // reported when it was read: there is nothing to look for
  Position at;             // line 0: there is no reference
  bool given() const { return at.line > 0; }
};

struct StepAction;

struct Step : Container {
  Text display_name;
  Text timeout;
  Text on_error;                             // "continue" or "stopAndFail"
  Ref ref;                                   // a StepAction
  std::shared_ptr<const StepAction> action;  // what `ref` means; set when a plan is made
  std::vector<Param> params;                 // of the StepAction
  std::vector<ResultSpec> results;
  std::vector<When> when;
  Text stdout_path, stderr_path;  // stdoutConfig.path, stderrConfig.path
};

struct ProbeHeader {
  Text name, value;
};

// https://kubernetes.io/docs/reference/kubernetes-api: Probe v1 core. Times in seconds.
struct Probe {
  enum class Kind { Exec, HttpGet, TcpSocket, Grpc };
  Kind kind = Kind::Exec;
  std::vector<Text> command;  // Exec
  Text path, port, scheme, host;
  std::vector<ProbeHeader> headers;  // HttpGet
  Text service;                      // Grpc
  int64_t initial_delay = 0, period = 10, timeout = 1, success_threshold = 1, failure_threshold = 3;
  std::optional<int64_t> termination_grace;
  Position at;
};

struct ContainerPort {
  Text name;
  int64_t number = 0;
};

struct Sidecar : Container {
  std::optional<Probe> readiness, startup, liveness;
  std::vector<ContainerPort> ports;
  Text restart_policy;
};

// `podTemplate`: what Kiln can honour of it. The rest is named in a note and ignored.
struct PodTemplate {
  std::vector<EnvVar> env;
  std::vector<Volume> volumes;
  SecurityContext security;
  bool host_network = false;
  std::vector<Text> image_pull_secrets;
  Position at;  // line 0: none
};

}  // namespace kiln::dag
