#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dag/resolve.h"
#include "steps/pod.h"

namespace kiln::executor {

// Where a run keeps what its pods see.
struct PodPlaces {
  std::filesystem::path run;     // runs/<id>
  std::filesystem::path workspaces;  // one folder per workspace that nobody bound: the outermost run's
  std::filesystem::path claims;      // one kept folder per PersistentVolumeClaim
  bool allow_host_image = false;
  steps::Network network = steps::Network::Host;
};

struct PodRequest {
  steps::PodSpec spec;
  // A folder that has to exist first, and the folder it must not leave (through a link that a step made).
  struct Folder {
    std::filesystem::path path, inside;
  };
  std::vector<Folder> folders;
};

// dag's task as steps' pod. Pure. Throws Invalid for what only shows after substitution: a step without an
// image, a malformed quantity or duration, a subPath that climbs out of its workspace.
PodRequest make_pod(const dag::Plan& plan, size_t task, const dag::ResolvedTask& resolved,
                    std::string_view run_name, dag::TaskRunIndex which, const PodPlaces& places);

// Kubernetes quantities: "128Mi", "1G", "1.5"; and for CPUs "500m". nullopt when malformed.
std::optional<double> parse_quantity(std::string_view text);

}  // namespace kiln::executor
