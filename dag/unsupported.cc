#include <algorithm>

#include "dag/compile.h"
#include "dag/substitution.h"

namespace kiln::dag {
namespace {

class Refusal {
 public:
  Refusal(Diagnostics& diagnostics, const Allowances& allowed)
      : diagnostics_(diagnostics), allowed_(allowed) {}

  void plan(const Plan& plan) {
    for (const PlannedTask& task : plan.tasks) pipeline_task(task);
  }

 private:
  void refuse(const std::string& file, Position at, std::string_view what) {
    diagnostics_.push_back({Severity::Error, file, at, std::string(what) + " cannot be run yet",
                            "`kiln lint` and `kiln run -n` take it; run it on a cluster meanwhile"});
  }

  void pipeline_task(const PlannedTask& task) {
    if (task.custom && !runs(task.custom->kind))
      refuse(task.file, task.at, "a custom task of kind " + task.custom->kind);
    if (task.pipeline) plan(*task.pipeline);
    for (const TaskWorkspace& workspace : task.workspaces)
      if (workspace.bound && workspace.binding.kind == WorkspaceBinding::Kind::Volume &&
          !runs(workspace.binding.source))
        refuse(task.file, workspace.binding.name.at, "a workspace from this kind of volume");
    for (const Volume& volume : task.settings->pod_template.volumes) this->volume(task.file, volume);
    for (const EnvVar& variable : task.settings->pod_template.env) this->variable(task.file, variable);
    if (task.spec) task_spec(task.spec_file, *task.spec);
  }

  // executor/custom_task.h
  static bool runs(const std::string& custom_kind) {
    return custom_kind == "Wait" || custom_kind == "Approval" || custom_kind == "ApprovalTask";
  }

  static bool runs(const VolumeSource& source) {
    return source.kind != VolumeSource::Kind::Csi && source.kind != VolumeSource::Kind::Other &&
           std::ranges::all_of(source.sources, [](const VolumeSource& inner) { return runs(inner); });
  }

  void volume(const std::string& file, const Volume& volume) {
    if (!runs(volume.source)) refuse(file, volume.name.at, "a volume of this kind");
    if (volume.source.kind == VolumeSource::Kind::HostPath && !allowed_.host_paths)
      forbid(file, volume.name.at,
             "volume \"" + volume.name.value + "\" is a hostPath, a folder of this machine",
             "allow it with --allow-host-path " + volume.source.name.value);
  }

  void variable(const std::string& file, const EnvVar& variable) {
    if (variable.from == EnvVar::From::Field && !may_have_variables(variable.key.value) &&
        !is_pod_field(variable.key.value))
      forbid(
          file, variable.key.at,
          "fieldRef \"" + variable.key.value + "\" is no field that a variable can have",
          "metadata.name, metadata.namespace, metadata.uid, metadata.labels['…'], metadata.annotations['…'], "
          "spec.nodeName, spec.serviceAccountName, status.podIP or status.hostIP");
    if (variable.from == EnvVar::From::ResourceField && !may_have_variables(variable.key.value) &&
        !is_container_resource(variable.key.value))
      forbid(file, variable.key.at,
             "resourceFieldRef \"" + variable.key.value + "\" is no resource that a variable can have",
             "limits.cpu, limits.memory, requests.cpu, requests.memory, and both of ephemeral-storage");
  }

  void task_spec(const std::string& file, const TaskSpec& spec) {
    for (const Text& type : spec.unconverted_resources)
      refuse(file, type.at, "a PipelineResource of type " + type.value);
    for (const Sidecar& sidecar : spec.sidecars) this->sidecar(file, sidecar);
    for (const Volume& volume : spec.volumes) this->volume(file, volume);
    if (spec.step_template) step(file, *spec.step_template);
    for (const Step& one : spec.steps) step(file, one);
  }

  void container(const std::string& file, const Container& one, std::string_view kind) {
    for (const EnvVar& variable : one.env) this->variable(file, variable);
    if (one.security.privileged.value_or(false) && !allowed_.privileged)
      forbid(
          file, one.at,
          "a privileged " + std::string(kind) + " can do everything that kiln's user can do to this machine",
          "allow it with --allow-privileged");
  }

  void step(const std::string& file, const Step& one) {
    container(file, one, "step");
    if (one.action) step(file, one.action->step);
  }

  void sidecar(const std::string& file, const Sidecar& one) {
    container(file, one, "sidecar");
    for (const std::optional<Probe>* probe : {&one.startup, &one.readiness, &one.liveness})
      if (*probe) this->probe(file, one, **probe);
  }

  void probe(const std::string& file, const Sidecar& sidecar, const Probe& probe) {
    const std::string& port = probe.port.value;
    const bool number = std::ranges::all_of(port, [](char c) { return c >= '0' && c <= '9'; });
    if (number || may_have_variables(port)) return;
    std::string names;
    for (const ContainerPort& one : sidecar.ports) {
      if (one.name.value == port && one.number > 0) return;
      if (!one.name.empty()) names += (names.empty() ? "its ports: " : ", ") + one.name.value;
    }
    forbid(file, probe.port.at, "no port of sidecar " + sidecar.name.value + " is called \"" + port + "\"",
           names.empty() ? "name one under `ports`, or give the probe a number" : names);
  }

  void forbid(const std::string& file, Position at, std::string what, std::string hint) {
    diagnostics_.push_back({Severity::Error, file, at, std::move(what), std::move(hint)});
  }

  Diagnostics& diagnostics_;
  const Allowances& allowed_;
};

}  // namespace

// Kubernetes' "Downward API", what may be a variable.
bool is_pod_field(std::string_view path) {
  for (std::string_view known :
       {"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
        "status.podIP", "status.podIPs", "status.hostIP", "status.hostIPs"})
    if (path == known) return true;
  for (std::string_view map : {"metadata.labels['", "metadata.annotations['"})
    if (path.starts_with(map) && path.ends_with("']") && path.size() > map.size() + 2) return true;
  return false;
}

bool is_container_resource(std::string_view name) {
  for (std::string_view known : {"limits.cpu", "limits.memory", "limits.ephemeral-storage", "requests.cpu",
                                 "requests.memory", "requests.ephemeral-storage"})
    if (name == known) return true;
  return false;
}

Diagnostics unsupported(const Plan& plan, const Allowances& allowed) {
  Diagnostics out;
  Refusal(out, allowed).plan(plan);
  return out;
}

}  // namespace kiln::dag
