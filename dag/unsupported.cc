#include "dag/compile.h"
#include "dag/substitution.h"

namespace kiln::dag {
namespace {

class Refusal {
 public:
  explicit Refusal(Diagnostics& diagnostics) : diagnostics_(diagnostics) {}

  void plan(const Plan& plan) {
    if (!plan.status.empty() && !plan.tasks.empty()) refuse(plan.tasks.front().file, plan.tasks.front().at, "a run with `status`");
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
          !runs(workspace.binding.source.kind))
        refuse(task.file, workspace.binding.name.at, "a workspace from this kind of volume");
    if (task.spec) task_spec(task.spec_file, *task.spec);
  }

  // executor/custom_task.h
  static bool runs(const std::string& custom_kind) {
    return custom_kind == "Wait" || custom_kind == "Approval" || custom_kind == "ApprovalTask";
  }

  static bool runs(VolumeSource::Kind kind) {
    return kind == VolumeSource::Kind::EmptyDir || kind == VolumeSource::Kind::PersistentVolumeClaim;
  }

  void task_spec(const std::string& file, const TaskSpec& spec) {
    for (const Text& type : spec.unconverted_resources)
      refuse(file, type.at, "a PipelineResource of type " + type.value);
    for (const Sidecar& sidecar : spec.sidecars) refuse(file, sidecar.at, "a sidecar");
    for (const Volume& volume : spec.volumes)
      if (!runs(volume.source.kind)) refuse(file, volume.name.at, "a volume of this kind");
    if (spec.step_template) step(file, *spec.step_template);
    for (const Step& one : spec.steps) step(file, one);
  }

  void step(const std::string& file, const Step& one) {
    if (!one.env_from.empty()) refuse(file, one.at, "`envFrom`");
    for (const EnvVar& variable : one.env)
      if (variable.from != EnvVar::From::Value) refuse(file, variable.name.at, "`valueFrom`");
    if (!one.when.empty()) refuse(file, one.when.front().at, "`when` of a step");
    if (!one.results.empty()) refuse(file, one.results.front().name.at, "a step result");
    if (!one.workspaces.empty()) refuse(file, one.workspaces.front().name.at, "an isolated workspace");
    if (one.security.privileged.value_or(false)) refuse(file, one.at, "`privileged`");
    if (!one.stdout_path.empty() || !one.stderr_path.empty())
      refuse(file, one.at, "`stdoutConfig` or `stderrConfig`");
    if (one.action) step(file, one.action->step);
  }

  Diagnostics& diagnostics_;
};

}  // namespace

Diagnostics unsupported(const Plan& plan) {
  Diagnostics out;
  Refusal(out).plan(plan);
  return out;
}

}  // namespace kiln::dag
