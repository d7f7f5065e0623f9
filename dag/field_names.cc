#include "dag/field_names.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>

#include "base/text.h"

namespace kiln::dag {
namespace {

// Sorted. A field that a decoder asks for belongs in here.
constexpr auto kFieldNames = std::to_array<std::string_view>({
    "add", "affinity", "allowPrivilegeEscalation", "annotations", "apiVersion", "appArmorProfile", "args",
    "automountServiceAccountToken", "awsElasticBlockStore", "azureDisk", "azureFile", "beforeSteps",
    "binaryData", "breakpoints", "capabilities", "cel", "cephfs", "cinder", "claimName", "claims",
    "clusterTrustBundle", "command", "computeResources", "configMap", "configMapKeyRef", "configMapRef",
    "containerName", "creationTimestamp", "csi", "customRef", "customSpec", "data", "debug", "default",
    "defaultMode", "deletionGracePeriodSeconds", "deletionTimestamp", "description", "devicePath",
    "displayName", "divisor", "dnsConfig", "dnsPolicy", "downwardAPI", "driver", "drop", "emptyDir",
    "enableServiceLinks", "enum", "env", "envFrom", "ephemeral", "exec", "failureThreshold", "fc",
    "fieldPath", "fieldRef", "fileKeyRef", "finalizers", "finally", "flexVolume", "flocker", "fsGroup",
    "fsGroupChangePolicy", "gcePersistentDisk", "generateName", "generation", "gitRepo", "glusterfs",
    "grpc", "host", "hostAliases", "hostNetwork", "hostPath", "hostUsers", "httpGet", "httpHeaders",
    "image", "imagePullPolicy", "imagePullSecrets", "immutable", "include", "initialDelaySeconds", "input",
    "iscsi", "items", "key", "kind", "labels", "lifecycle", "limits", "livenessProbe", "local", "managedBy",
    "managedFields", "matrix", "medium", "metadata", "mode", "mountPath", "mountPropagation", "name",
    "namespace", "nfs", "nodeSelector", "onError", "onFailure", "operator", "optional", "ownerReferences",
    "params", "path", "periodSeconds", "persistentVolumeClaim", "photonPersistentDisk", "pipeline",
    "pipelineRef", "pipelineResources", "pipelineSpec", "pipelineTaskName", "podCertificate", "podTemplate",
    "port", "ports", "portworxVolume", "prefix", "priorityClassName", "privileged", "procMount",
    "projected", "properties", "quobyte", "rbd", "readOnly", "readOnlyRootFilesystem", "readinessProbe",
    "recursiveReadOnly", "ref", "requests", "resolver", "resource", "resourceFieldRef", "resourceRef",
    "resourceSpec", "resourceVersion", "restartPolicy", "results", "retries", "runAfter", "runAsGroup",
    "runAsNonRoot", "runAsUser", "runtimeClassName", "scaleIO", "schedulerName", "scheme", "script",
    "seLinuxChangePolicy", "seLinuxOptions", "seccompProfile", "secret", "secretKeyRef", "secretName",
    "secretRef", "secrets", "securityContext", "selfLink", "service", "serviceAccountName",
    "serviceAccountToken", "sidecarSpecs", "sidecars", "sizeLimit", "sources", "spec", "startupProbe",
    "status", "statusMessage", "stderrConfig", "stdin", "stdinOnce", "stdoutConfig", "stepSpecs",
    "stepTemplate", "steps", "storageos", "stringData", "subPath", "subPathExpr", "successThreshold",
    "supplementalGroups", "supplementalGroupsPolicy", "sysctls", "targetPath", "taskRef", "taskRunSpecs",
    "taskRunTemplate", "taskSpec", "tasks", "tcpSocket", "terminationGracePeriodSeconds",
    "terminationMessagePath", "terminationMessagePolicy", "timeout", "timeoutSeconds", "timeouts",
    "tolerations", "topologySpreadConstraints", "tty", "type", "uid", "value", "valueFrom", "values",
    "volumeClaimTemplate", "volumeDevices", "volumeMounts", "volumes", "vsphereVolume", "when",
    "windowsOptions", "workingDir", "workspace", "workspaces"});
static_assert(std::ranges::is_sorted(kFieldNames));

// What other tools, or shells, call a field.
constexpr auto kOtherWords = std::to_array<std::pair<std::string_view, std::string_view>>({
    {"after", "runAfter"},       {"arguments", "args"},         {"cmd", "command"},
    {"cwd", "workingDir"},       {"depends_on", "runAfter"},    {"dependsOn", "runAfter"},
    {"entrypoint", "command"},   {"environment", "env"},        {"if", "when"},
    {"jobs", "tasks"},           {"needs", "runAfter"},         {"paramaters", "params"},
    {"parameters", "params"},    {"resources", "computeResources"}, {"retry", "retries"},
    {"run", "script"},           {"stages", "tasks"},           {"workdir", "workingDir"},
});

}  // namespace

bool is_field_name(std::string_view name) {
  return std::ranges::binary_search(kFieldNames, name) ||
         std::ranges::any_of(kFieldNames, [&](std::string_view known) { return iequals(known, name); });
}

bool stands_for(std::string_view written, std::string_view field) {
  for (const auto& [word, meant] : kOtherWords)
    if (iequals(written, word)) return meant == field;
  if (written.size() < 3) return false;
  const std::string candidate(field);
  return nearest(written, {&candidate, 1}).has_value();
}

}  // namespace kiln::dag
