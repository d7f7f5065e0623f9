#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "executor/pod_env.h"

namespace kiln::executor {

// A file of a volume that is made from objects.
struct VolumeFile {
  std::filesystem::path path;  // relative, never up
  std::string content;
  unsigned mode = 0644;
};

// A folder to make from them: private, and gone with the pod.
struct VolumeContent {
  std::filesystem::path folder;
  std::vector<VolumeFile> files;
};

// Whether a volume's files come from objects: configMap, secret, projected, downwardAPI.
bool is_made_of_files(const dag::VolumeSource& source);

// The files of such a volume, as Kubernetes would project them; sorted, each path once, the last source of a
// projection wins. A token of the ServiceAccount, which no cluster stands behind, is left out and said in
// `notes`. Throws Invalid for an object or key that is not there (and not optional), and for a path that
// climbs out or runs through another file.
std::vector<VolumeFile> volume_files(const dag::VolumeSource& source, const PodFacts& facts,
                                     std::vector<std::string>& notes);

// Writes it, whatever the umask. As root, `group` (an fsGroup) owns it and may read it.
void write_volume(const VolumeContent& volume, std::optional<uint32_t> group);

}  // namespace kiln::executor
