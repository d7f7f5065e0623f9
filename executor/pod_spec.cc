#include "executor/pod_spec.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/digest.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/text.h"
#include "executor/credentials.h"
#include "steps/capabilities.h"

namespace kiln::executor {
namespace {

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

// What Tekton's controller would have written on the pod.
PodFacts facts_of(const dag::Plan& plan, const dag::PlannedTask& task, const dag::ResolvedTask& resolved,
                  std::string_view run_name, const std::string& task_run, const PodPlaces& places) {
  static const dag::ClusterObjects kNone;
  PodFacts facts{.objects = plan.objects ? *plan.objects : kNone,
                 .name = task_run + "-pod",
                 .uid = sha256(std::string(run_name) + "/" + task_run).short_text(),
                 .node = places.node,
                 .labels = plan.labels,
                 .annotations = plan.annotations,
                 .containers = {},
                 .machine_cpus = places.cpus,
                 .machine_memory = places.memory};
  if (!task.settings->service_account.empty()) facts.service_account = task.settings->service_account;
  for (const auto& [key, value] : task.settings->annotations) facts.annotations[key] = value;
  for (const auto& [key, value] : task.settings->labels) facts.labels[key] = value;
  facts.labels["app.kubernetes.io/managed-by"] = "kiln";
  facts.labels["tekton.dev/taskRun"] = task_run;
  if (!task.task_name.empty()) facts.labels["tekton.dev/task"] = task.task_name;
  if (plan.kind == dag::Plan::Kind::Pipeline) {
    facts.labels["tekton.dev/pipeline"] = plan.name;
    facts.labels["tekton.dev/pipelineRun"] = run_name;
    facts.labels["tekton.dev/pipelineTask"] = task.name;
  }
  for (const dag::Step& step : resolved.spec.steps)
    facts.containers["step-" + step.name.value] = step.resources;
  for (const dag::Sidecar& sidecar : resolved.spec.sidecars)
    facts.containers["sidecar-" + sidecar.name.value] = sidecar.resources;
  return facts;
}

class PodMaker {
 public:
  PodMaker(const dag::Plan& plan, size_t index, const dag::ResolvedTask& resolved, dag::TaskRunIndex which,
           const PodPlaces& places, PodFacts facts)
      : task_(plan.tasks[index]), resolved_(resolved), places_(places), facts_(std::move(facts)) {
    const std::string name = task_.name + (which.in_matrix ? "-" + std::to_string(*which.in_matrix) : "") +
                             "." + std::to_string(which.attempt);
    folder_ = places.run / "pods" / name;
    out_.private_folder = places.secrets / name;
  }

  PodRequest make(std::string name) {
    steps::PodSpec& pod = out_.spec;
    pod.name = std::move(name);
    pod.folder = folder_;
    pod.network = places_.network;
    if (task_.settings->pod_template.host_network && pod.network != steps::Network::Host)
      out_.notes.push_back("hostNetwork is not honoured: --network asks for less");
    if (const auto& group = task_.settings->pod_template.security.fs_group)
      out_.group = static_cast<uint32_t>(*group);
    add_credentials();
    pod.allow_host_image = places_.allow_host_image;
    for (const dag::ResultSpec& result : resolved_.spec.results) pod.results.push_back(result.name);
    for (const dag::TaskWorkspace& workspace : resolved_.workspaces)
      if (workspace.bound)
        pod.workspaces.push_back({workspace_source(workspace), workspace.path(),
                                  workspace.declaration.read_only || workspace.binding.source.read_only ||
                                      is_made_of_files(workspace)});
    for (const dag::Volume& volume : resolved_.spec.volumes)
      if (volume.source.kind == dag::VolumeSource::Kind::EmptyDir) note_empty_dir(volume.name, volume.source);
    for (const dag::Step& step : resolved_.spec.steps) pod.steps.push_back(make_step(step));
    return std::move(out_);
  }

 private:
  static bool is_made_of_files(const dag::TaskWorkspace& workspace) {
    return workspace.binding.kind == dag::WorkspaceBinding::Kind::Volume &&
           executor::is_made_of_files(workspace.binding.source);
  }

  void add_credentials() {
    const auto& accounts = facts_.objects.service_accounts;
    const auto account = accounts.find(facts_.service_account);
    if (account == accounts.end()) {
      if (!task_.settings->service_account.empty() && facts_.service_account != "default")
        out_.notes.push_back("ServiceAccount \"" + facts_.service_account +
                             "\" is not among the documents loaded: no credentials come from it");
      return;
    }
    std::vector<VolumeFile> files = credential_files(account->second, facts_, out_.notes);
    if (files.empty()) return;
    out_.spec.credentials.folder = out_.private_folder / "creds";
    for (const VolumeFile& file : files) out_.spec.credentials.files.push_back(file.path);
    out_.contents.push_back({out_.private_folder / "creds", std::move(files)});
  }

  // The folder of a volume or workspace that is made of objects; written once, however often it is mounted.
  fs::path made_of_files(const dag::VolumeSource& source, const fs::path& name, const fs::path& below) {
    const fs::path folder = out_.private_folder / name;
    auto made = std::ranges::find(out_.contents, folder, &VolumeContent::folder);
    if (made == out_.contents.end())
      made = out_.contents.insert(made, {folder, volume_files(source, facts_, out_.notes)});
    if (below.empty()) return folder;
    const bool there =
        std::ranges::any_of(made->files, [&](const VolumeFile& file) { return is_within(file.path, below); });
    if (!there)
      throw Error(ErrorKind::Invalid, "task " + task_.name + ": volume " + name.filename().string() +
                                          " has no file \"" + below.string() + "\" for its subPath");
    return folder / below;
  }

  fs::path host_path(const dag::Volume& volume, const fs::path& below) {
    const fs::path path = fs::path(volume.source.name.value).lexically_normal();
    for (const fs::path& allowed : places_.host_paths) {
      if (!is_within(path, allowed)) continue;
      out_.host_paths.push_back({path, allowed});
      if (below.empty()) return path;
      out_.host_paths.push_back({path / below, path});
      return path / below;
    }
    throw Error(ErrorKind::Invalid,
                "task " + task_.name + ": volume \"" + volume.name.value + "\" is the folder " +
                    path.string() + " of this machine, which was not allowed",
                "allow it with --allow-host-path " + path.string());
  }

  void note_empty_dir(const std::string& name, const dag::VolumeSource& source) {
    if (!source.medium.empty() || !source.size_limit.empty())
      out_.notes.push_back("emptyDir \"" + name +
                           "\" is a folder on disk without a limit: medium and sizeLimit are not kept");
  }

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
    if (binding.source.kind == dag::VolumeSource::Kind::EmptyDir) {
      note_empty_dir(workspace.declaration.name, binding.source);
      return folder(folder_ / "emptydir" / workspace.declaration.name.value, below);
    }
    if (executor::is_made_of_files(binding.source))
      return made_of_files(binding.source, fs::path("workspaces") / workspace.declaration.name.value, below);
    throw Error(ErrorKind::Invalid,
                "workspace " + workspace.declaration.name.value + ": not a kind that can be run");
  }

  steps::VolumeMount volume_mount(const dag::Step& step, const dag::VolumeMount& mount) {
    using Kind = dag::VolumeSource::Kind;
    const fs::path below = safe_sub_path(mount.sub_path, "step " + step.name.value);
    const fs::path inside = mount.mount_path.value;
    for (const dag::TaskWorkspace& workspace : resolved_.workspaces)  // $(workspaces.x.volume)
      if (workspace.bound && mount.name.value == "ws-" + workspace.declaration.name.value) {
        if (is_made_of_files(workspace))
          return {made_of_files(workspace.binding.source,
                                fs::path("workspaces") / workspace.declaration.name.value, below),
                  inside, true};
        return {folder(workspace_source(workspace), below), inside, mount.read_only};
      }
    for (const dag::Volume& volume : resolved_.spec.volumes) {
      if (volume.name.value != mount.name.value) continue;
      const std::string& name = volume.name.value;
      if (executor::is_made_of_files(volume.source))
        return {made_of_files(volume.source, fs::path("volumes") / name, below), inside, true};
      if (volume.source.kind == Kind::HostPath) return {host_path(volume, below), inside, mount.read_only};
      if (volume.source.kind == Kind::PersistentVolumeClaim)
        return {folder(places_.claims / volume.source.name.value, below), inside,
                mount.read_only || volume.source.read_only};
      if (volume.source.kind != Kind::EmptyDir)
        refuse(task_, step.name, "volume \"" + name + "\" is of a kind that only a cluster has");
      return {folder(folder_ / "volumes" / name, below), inside, mount.read_only};
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
    out.env = container_env(step, facts_);
    for (const dag::VolumeMount& mount : step.volume_mounts) out.mounts.push_back(volume_mount(step, mount));
    if (!step.timeout.empty()) {
      const auto timeout = parse_duration(step.timeout.value);
      if (!timeout) refuse(task_, step.name, "\"" + step.timeout.value + "\" is not a duration");
      out.timeout = *timeout;
    }
    out.continue_on_error = step.on_error.value == "continue";
    if (step.security.run_as_user) out.run_as_user = static_cast<uint32_t>(*step.security.run_as_user);
    if (step.security.run_as_group) out.run_as_group = static_cast<uint32_t>(*step.security.run_as_group);
    set_security(step, out);
    out.resources.cpus = quantity(step, step.resources.cpu_limit);
    out.resources.memory_bytes = static_cast<uint64_t>(quantity(step, step.resources.memory_limit));
    return out;
  }

  void set_security(const dag::Step& step, steps::StepSpec& out) {
    const dag::SecurityContext& security = step.security;
    out.read_only_root = security.read_only_root.value_or(false);
    out.run_as_non_root = security.run_as_non_root.value_or(false);
    const dag::SecurityContext& pod = task_.settings->pod_template.security;
    for (const int64_t group : pod.supplemental_groups) out.groups.push_back(static_cast<uint32_t>(group));
    if (pod.fs_group) out.groups.push_back(static_cast<uint32_t>(*pod.fs_group));
    out.privileged = security.privileged.value_or(false);
    if (out.privileged && !places_.allow_privileged)
      throw Error(ErrorKind::Invalid,
                  "task " + task_.name + ", step " + step.name.value + " wants to be privileged",
                  "allow it with --allow-privileged");
    const auto names = [](const std::vector<dag::Text>& list) {
      return std::vector<std::string>(list.begin(), list.end());
    };
    if (!security.add_capabilities.empty() || !security.drop_capabilities.empty())
      out.capabilities = steps::capability_mask(names(security.add_capabilities),
                                                names(security.drop_capabilities), places_.allow_privileged);
  }

  const dag::PlannedTask& task_;
  const dag::ResolvedTask& resolved_;
  const PodPlaces& places_;
  PodFacts facts_;
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
  PodFacts facts = facts_of(plan, plan.tasks[task], resolved, run_name, name, places);
  return PodMaker(plan, task, resolved, which, places, std::move(facts)).make(std::move(name));
}

}  // namespace kiln::executor
