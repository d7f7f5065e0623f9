#include "executor/pod_spec.h"

#include <array>
#include <charconv>

#include "base/error.h"
#include "base/text.h"

namespace kiln::executor {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse(const dag::PlannedTask& task, const std::string& step, const std::string& message) {
  throw Error(ErrorKind::Invalid, "task " + task.name + ", step " + step + ": " + message);
}

// "a/b", never absolute, never up.
fs::path safe_sub_path(const std::string& text, const std::string& what) {
  fs::path path = fs::path(text).lexically_normal();
  if (path.is_absolute() || (!path.empty() && *path.begin() == ".."))
    throw Error(ErrorKind::Invalid, what + ": subPath \"" + text + "\" leaves the workspace",
                "a subPath is relative and stays below its workspace");
  return path == "." ? fs::path() : path;
}

class PodMaker {
 public:
  PodMaker(const dag::Plan& plan, size_t index, const dag::ResolvedTask& resolved, dag::TaskRunIndex which,
           const PodPlaces& places)
      : task_(plan.tasks[index]),
        resolved_(resolved),
        places_(places),
        folder_(places.run / "pods" /
                (task_.name + (which.in_matrix ? "-" + std::to_string(*which.in_matrix) : "") + "." +
                 std::to_string(which.attempt))) {}

  PodRequest make(std::string name) {
    steps::PodSpec& pod = out_.spec;
    pod.name = std::move(name);
    pod.folder = folder_;
    pod.network = places_.network;
    pod.allow_host_image = places_.allow_host_image;
    for (const dag::ResultSpec& result : resolved_.spec.results) pod.results.push_back(result.name);
    for (const dag::TaskWorkspace& workspace : resolved_.workspaces)
      if (workspace.bound)
        pod.workspaces.push_back({workspace_source(workspace), workspace.path(),
                                  workspace.declaration.read_only || workspace.binding.source.read_only});
    for (const dag::Step& step : resolved_.spec.steps) pod.steps.push_back(make_step(step));
    return std::move(out_);
  }

 private:
  fs::path folder(fs::path base, const fs::path& below, bool make = true) {
    fs::path path = below.empty() ? base : base / below;
    if (make) out_.folders.push_back({path, std::move(base)});
    return path;
  }

  fs::path workspace_source(const dag::TaskWorkspace& workspace) {
    const dag::WorkspaceBinding& binding = workspace.binding;
    const fs::path below = safe_sub_path(binding.sub_path, "workspace " + workspace.declaration.name.value);
    switch (binding.kind) {
      case dag::WorkspaceBinding::Kind::HostFolder:
        return folder(binding.folder, below, !below.empty());
      case dag::WorkspaceBinding::Kind::RunFolder:
        return folder(places_.workspaces / binding.folder, below);
      case dag::WorkspaceBinding::Kind::Volume:
        break;
    }
    if (binding.source.kind == dag::VolumeSource::Kind::PersistentVolumeClaim)
      return folder(places_.claims / binding.source.name.value, below);
    if (binding.source.kind == dag::VolumeSource::Kind::EmptyDir)
      return folder(folder_ / "emptydir" / workspace.declaration.name.value, below);
    throw Error(ErrorKind::Invalid,
                "workspace " + workspace.declaration.name.value + ": not a kind that can be run");
  }

  fs::path volume_source(const dag::Step& step, const dag::VolumeMount& mount) {
    const fs::path below = safe_sub_path(mount.sub_path, "step " + step.name.value);
    for (const dag::TaskWorkspace& workspace : resolved_.workspaces)  // $(workspaces.x.volume)
      if (workspace.bound && mount.name.value == "ws-" + workspace.declaration.name.value)
        return folder(workspace_source(workspace), below);
    for (const dag::Volume& volume : resolved_.spec.volumes) {
      if (volume.name.value != mount.name.value) continue;
      if (volume.source.kind == dag::VolumeSource::Kind::PersistentVolumeClaim)
        return folder(places_.claims / volume.source.name.value, below);
      return folder(folder_ / "volumes" / volume.name.value, below);
    }
    refuse(task_, step.name, "volume \"" + mount.name.value + "\" is not among the task's volumes");
  }

  double quantity(const dag::Step& step, const dag::Text& text) {
    if (text.empty()) return 0;
    const auto value = parse_quantity(text.value);
    if (!value || *value < 0) refuse(task_, step.name, "\"" + text.value + "\" is not a quantity");
    return *value;
  }

  steps::StepSpec make_step(const dag::Step& step) {
    if (step.image.empty()) refuse(task_, step.name, "it has no image");
    steps::StepSpec out;
    out.name = step.name;
    out.image = step.image;
    const std::string& policy = step.image_pull_policy.value;
    if (policy == "Always")
      out.pull_policy = registry::PullPolicy::Always;
    else if (policy == "Never")
      out.pull_policy = registry::PullPolicy::Never;
    for (const dag::Text& word : step.command) out.command.push_back(word);
    for (const dag::Text& word : step.args) out.args.push_back(word);
    out.script = step.script;
    out.working_dir = step.working_dir;
    for (const dag::EnvVar& variable : step.env) out.env.emplace_back(variable.name, variable.value);
    for (const dag::VolumeMount& mount : step.volume_mounts)
      out.mounts.push_back({volume_source(step, mount), mount.mount_path.value, mount.read_only});
    if (!step.timeout.empty()) {
      const auto timeout = parse_duration(step.timeout.value);
      if (!timeout) refuse(task_, step.name, "\"" + step.timeout.value + "\" is not a duration");
      out.timeout = *timeout;
    }
    out.continue_on_error = step.on_error.value == "continue";
    if (step.security.run_as_user) out.run_as_user = static_cast<uint32_t>(*step.security.run_as_user);
    if (step.security.run_as_group) out.run_as_group = static_cast<uint32_t>(*step.security.run_as_group);
    out.read_only_root = step.security.read_only_root.value_or(false);
    out.resources.cpus = quantity(step, step.resources.cpu_limit);
    out.resources.memory_bytes = static_cast<uint64_t>(quantity(step, step.resources.memory_limit));
    return out;
  }

  const dag::PlannedTask& task_;
  const dag::ResolvedTask& resolved_;
  const PodPlaces& places_;
  fs::path folder_;
  PodRequest out_;
};

}  // namespace

std::optional<double> parse_quantity(std::string_view text) {
  double number = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (problem != std::errc() || !(number >= 0) || number > 1e15) return std::nullopt;
  const std::string_view unit = text.substr(static_cast<size_t>(end - text.data()));
  constexpr std::array<std::pair<std::string_view, double>, 12> kUnits{{{"", 1},
                                                                        {"m", 1e-3},
                                                                        {"k", 1e3},
                                                                        {"M", 1e6},
                                                                        {"G", 1e9},
                                                                        {"T", 1e12},
                                                                        {"P", 1e15},
                                                                        {"Ki", 0x1p10},
                                                                        {"Mi", 0x1p20},
                                                                        {"Gi", 0x1p30},
                                                                        {"Ti", 0x1p40},
                                                                        {"Pi", 0x1p50}}};
  for (const auto& [name, factor] : kUnits)
    if (unit == name) return std::min(number * factor, 1e18);
  return std::nullopt;
}

PodRequest make_pod(const dag::Plan& plan, size_t task, const dag::ResolvedTask& resolved,
                    std::string_view run_name, dag::TaskRunIndex which, const PodPlaces& places) {
  std::string name = dag::child_name(plan, task, run_name, which.in_matrix);
  if (which.attempt > 0) name += "-retry" + std::to_string(which.attempt);
  return PodMaker(plan, task, resolved, which, places).make(std::move(name));
}

}  // namespace kiln::executor
