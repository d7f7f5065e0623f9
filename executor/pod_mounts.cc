#include "executor/pod_mounts.h"

#include <algorithm>

#include "base/error.h"
#include "base/fs.h"
#include "steps/variables.h"

namespace kiln::executor {
namespace {

// "a/b", never absolute, never up.
fs::path safe_sub_path(const std::string& text, const std::string& what) {
  fs::path path = fs::path(text).lexically_normal();
  if (path.is_absolute() || (!path.empty() && *path.begin() == ".."))
    throw Error(ErrorKind::Invalid, what + ": subPath \"" + text + "\" leaves the workspace",
                "a subPath is relative and stays below its workspace");
  return path == "." ? fs::path() : path;
}

// A subPathExpr with the values of the container's variables, all of which there have to be.
std::string expanded(const std::string& expression, const steps::Variables& env, const std::string& what) {
  for (size_t at = 0; (at = expression.find('$', at)) != std::string::npos; at += 2) {
    const size_t end = expression.find(')', at);
    if (!expression.substr(at).starts_with("$(") || end == std::string::npos) continue;
    const std::string name = expression.substr(at + 2, end - at - 2);
    if (!env.contains(name))
      throw Error(
          ErrorKind::Invalid,
          what + ": subPathExpr \"" + expression + "\" names the variable " + name + ", which it has not",
          "add it under `env`");
  }
  return steps::expand_variables(expression, env);
}

bool is_made_of_files(const dag::TaskWorkspace& workspace) {
  return workspace.binding.kind == dag::WorkspaceBinding::Kind::Volume &&
         executor::is_made_of_files(workspace.binding.source);
}

}  // namespace

PodMounts::PodMounts(const dag::PlannedTask& task, const dag::ResolvedTask& resolved, const PodPlaces& places,
                     const PodFacts& facts, PodRequest& out)
    : task_(task), resolved_(resolved), places_(places), facts_(facts), out_(out) {
  const auto add = [&](const dag::Container& container) {
    for (const dag::WorkspaceUsage& usage : container.workspaces) isolated_.insert(usage.name);
  };
  std::ranges::for_each(resolved.spec.steps, add);
  std::ranges::for_each(resolved.spec.sidecars, add);
  for (const dag::Volume& volume : resolved.spec.volumes)
    if (volume.source.kind == dag::VolumeSource::Kind::EmptyDir) note_empty_dir(volume.name, volume.source);
}

std::vector<steps::VolumeMount> PodMounts::shared() {
  std::vector<steps::VolumeMount> out;
  for (const dag::TaskWorkspace& workspace : resolved_.workspaces)
    if (workspace.bound && !isolated_.contains(workspace.declaration.name))
      out.push_back(workspace_mount(workspace, workspace.path()));
  return out;
}

std::vector<steps::VolumeMount> PodMounts::of(const dag::Container& container, const std::string& who,
                                              const Environment& env) {
  std::vector<steps::VolumeMount> out;
  for (const dag::WorkspaceUsage& usage : container.workspaces)
    for (const dag::TaskWorkspace& workspace : resolved_.workspaces)
      if (workspace.bound && workspace.declaration.name.value == usage.name.value)
        out.push_back(
            workspace_mount(workspace, usage.mount_path.empty() ? workspace.path() : usage.mount_path.value));
  for (const dag::VolumeMount& mount : container.volume_mounts) {
    const std::string sub_path = mount.sub_path_expr.empty()
                                     ? mount.sub_path.value
                                     : expanded(mount.sub_path_expr, steps::expand_env(env), who);
    out.push_back(volume_mount(mount, safe_sub_path(sub_path, who), who));
  }
  return out;
}

steps::VolumeMount PodMounts::workspace_mount(const dag::TaskWorkspace& workspace, Path inside) {
  return mount_of(
      workspace_source(workspace), std::move(inside),
      workspace.declaration.read_only || workspace.binding.source.read_only || is_made_of_files(workspace));
}

steps::VolumeMount PodMounts::mount_of(const Place& place, fs::path inside, bool read_only) {
  return {place.path, std::move(inside), read_only, place.within};
}

// The folder of a volume or workspace that is made of objects; written once, however often it is mounted.
fs::path PodMounts::made_of_files(const dag::VolumeSource& source, const fs::path& name,
                                  const fs::path& below) {
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

PodMounts::Place PodMounts::host_path(const dag::Volume& volume, const fs::path& below) {
  const fs::path path = fs::path(volume.source.name.value).lexically_normal();
  for (const fs::path& allowed : places_.host_paths) {
    if (!is_within(path, allowed)) continue;
    out_.host_paths.push_back({path, allowed});
    if (!below.empty()) out_.host_paths.push_back({path / below, path});
    const fs::path all = below.empty() ? path : path / below;
    return {all, all == allowed ? fs::path() : allowed};
  }
  throw Error(ErrorKind::Invalid,
              "task " + task_.name + ": volume \"" + volume.name.value + "\" is the folder " + path.string() +
                  " of this machine, which was not allowed",
              "allow it with --allow-host-path " + path.string());
}

void PodMounts::note_empty_dir(const std::string& name, const dag::VolumeSource& source) {
  if (!source.medium.empty() || !source.size_limit.empty())
    out_.notes.push_back("emptyDir \"" + name +
                         "\" is a folder on disk without a limit: medium and sizeLimit are not kept");
}

PodMounts::Place PodMounts::folder(const Place& base, const fs::path& below, bool make) {
  const fs::path& top = base.within.empty() ? base.path : base.within;
  Place place = below.empty() ? base : Place{base.path / below, top, base.of_user};
  if (make) out_.folders.push_back({place.path, top, place.of_user});
  return place;
}

PodMounts::Place PodMounts::workspace_source(const dag::TaskWorkspace& workspace) {
  const dag::WorkspaceBinding& binding = workspace.binding;
  const fs::path below = safe_sub_path(binding.sub_path, "workspace " + workspace.declaration.name.value);
  switch (binding.kind) {
    case dag::WorkspaceBinding::Kind::HostFolder:
      return folder({binding.folder, {}, true}, below, !below.empty());
    case dag::WorkspaceBinding::Kind::RunFolder:
      return folder({places_.workspaces / binding.folder}, below);
    case dag::WorkspaceBinding::Kind::Volume:
      break;
  }
  if (binding.source.kind == dag::VolumeSource::Kind::PersistentVolumeClaim)
    return folder({places_.claims / binding.source.name.value}, below);
  if (binding.source.kind == dag::VolumeSource::Kind::EmptyDir) {
    note_empty_dir(workspace.declaration.name, binding.source);
    return folder({out_.spec.folder / "emptydir" / workspace.declaration.name.value}, below);
  }
  if (executor::is_made_of_files(binding.source))
    return {made_of_files(binding.source, fs::path("workspaces") / workspace.declaration.name.value, below)};
  throw Error(ErrorKind::Invalid,
              "workspace " + workspace.declaration.name.value + ": not a kind that can be run");
}

steps::VolumeMount PodMounts::volume_mount(const dag::VolumeMount& mount, const fs::path& below,
                                           const std::string& who) {
  using Kind = dag::VolumeSource::Kind;
  const fs::path inside = mount.mount_path.value;
  for (const dag::TaskWorkspace& workspace : resolved_.workspaces)  // $(workspaces.x.volume)
    if (workspace.bound && mount.name.value == "ws-" + workspace.declaration.name.value) {
      if (is_made_of_files(workspace))
        return {made_of_files(workspace.binding.source,
                              fs::path("workspaces") / workspace.declaration.name.value, below),
                inside, true};
      return mount_of(folder(workspace_source(workspace), below), inside, mount.read_only);
    }
  for (const dag::Volume& volume : resolved_.spec.volumes) {
    if (volume.name.value != mount.name.value) continue;
    const std::string& name = volume.name.value;
    if (executor::is_made_of_files(volume.source))
      return {made_of_files(volume.source, fs::path("volumes") / name, below), inside, true};
    if (volume.source.kind == Kind::HostPath)
      return mount_of(host_path(volume, below), inside, mount.read_only);
    if (volume.source.kind == Kind::PersistentVolumeClaim)
      return mount_of(folder({places_.claims / volume.source.name.value}, below), inside,
                      mount.read_only || volume.source.read_only);
    if (volume.source.kind != Kind::EmptyDir)
      throw Error(ErrorKind::Invalid, "task " + task_.name + ", " + who + ": volume \"" + name +
                                          "\" is of a kind that only a cluster has");
    return mount_of(folder({out_.spec.folder / "volumes" / name}, below), inside, mount.read_only);
  }
  throw Error(ErrorKind::Invalid, "task " + task_.name + ", " + who + ": volume \"" + mount.name.value +
                                      "\" is not among the task's volumes");
}

}  // namespace kiln::executor
