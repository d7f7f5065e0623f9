#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dag/resolve.h"
#include "executor/pod_volumes.h"
#include "executor/step_flow.h"
#include "steps/pod.h"

namespace kiln::executor {

// Where a run keeps what its pods see.
struct PodPlaces {
  std::filesystem::path run;         // runs/<id>
  std::filesystem::path workspaces;  // one folder per workspace that nobody bound: the outermost run's
  std::filesystem::path claims;      // one kept folder per PersistentVolumeClaim
  bool allow_host_image = false;
  steps::Network network = steps::Network::Host;
  std::filesystem::path secrets;  // private_folder.h: what is made of Secrets, a folder per pod
  bool allow_privileged = false;
  std::vector<std::filesystem::path> host_paths;  // --allow-host-path: these and what is below
  // imagePullPolicy Always: what a registry said since then will do.
  registry::ImageRequest::Moment images_since = registry::ImageRequest::Moment::max();
  // This machine, as the Downward API shows it.
  std::string node;
  double cpus = 0, memory = 0;
};

struct PodRequest {
  steps::PodSpec spec;
  // A folder that has to exist first, and the folder it must not leave (through a link that a step made).
  struct Folder {
    std::filesystem::path path, inside;
    bool of_user = false;  // `inside` is a folder that the user named: it has to be there, and stays as it is
  };
  std::vector<Folder> folders;
  // Folders of this machine that have to be there already, each inside one that is allowed.
  std::vector<Folder> host_paths;
  // What to write before the pod starts, all below `private_folder`, which goes with it.
  std::filesystem::path private_folder;
  std::vector<VolumeContent> contents;
  std::optional<uint32_t> group;  // fsGroup
  // With `kiln.dev/cache: inputs`: what the task is called in the task cache, and what decides beside the pod
  // what it leaves: what that is called → its text.
  std::string cached_as;
  std::string cached_combination;  // which one of its matrix; empty: it has none
  std::map<std::string, std::string> cache_inputs;
  StepFlow flow;                   // what its steps hand on
  std::vector<std::string> notes;  // what the pod has to do without, one sentence each; for its log
};

// dag's task as steps' pod. Pure. Throws Invalid for what only shows after substitution: a step without an
// image, a malformed quantity or duration, a subPath that climbs out of its workspace, a Secret that is not
// there; and for what was not allowed.
PodRequest make_pod(const dag::Plan& plan, size_t task, const dag::ResolvedTask& resolved,
                    std::string_view run_name, dag::TaskRunIndex which, const PodPlaces& places);

}  // namespace kiln::executor
