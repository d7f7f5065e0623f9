#pragma once

#include <set>
#include <string>
#include <vector>

#include "executor/pod_spec.h"

// Used by pod_spec.cc only.
namespace kiln::executor {

// Where the workspaces and volumes of one pod come from, and what its containers see of them. What has to be
// made, checked or written first goes into the PodRequest. All arguments have to outlive it.
class PodMounts {
 public:
  PodMounts(const dag::PlannedTask& task, const dag::ResolvedTask& resolved, const PodPlaces& places,
            const PodFacts& facts, PodRequest& out);

  // The workspaces that every step and sidecar sees: those that none names as its own.
  std::vector<steps::VolumeMount> shared();
  // What this container sees beside them: its own workspaces and its volumes. `who` is "step build"; a
  // subPathExpr may refer to `env`.
  using Environment = std::vector<std::pair<std::string, std::string>>;
  std::vector<steps::VolumeMount> of(const dag::Container& container, const std::string& who,
                                     const Environment& env);

 private:
  using Path = std::filesystem::path;
  // A path of the host, and what it must not leave (steps::Mount::within).
  struct Place {
    Path path, within{};
    bool of_user = false;
  };
  Place folder(const Place& base, const Path& below, bool make = true);
  Path made_of_files(const dag::VolumeSource& source, const Path& name, const Path& below);
  Place host_path(const dag::Volume& volume, const Path& below);
  Place workspace_source(const dag::TaskWorkspace& workspace);
  static steps::VolumeMount mount_of(const Place& place, Path inside, bool read_only);
  steps::VolumeMount workspace_mount(const dag::TaskWorkspace& workspace, Path inside);
  steps::VolumeMount volume_mount(const dag::VolumeMount& mount, const Path& below, const std::string& who);
  void note_empty_dir(const std::string& name, const dag::VolumeSource& source);

  const dag::PlannedTask& task_;
  const dag::ResolvedTask& resolved_;
  const PodPlaces& places_;
  const PodFacts& facts_;
  PodRequest& out_;
  std::set<std::string> isolated_;  // workspaces that a step or sidecar names
};

}  // namespace kiln::executor
