#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <sys/stat.h>
#include <vector>

#include "registry/image.h"

namespace kiln::registry {

class Lease;
class Store;

// Layers unpacked once each, by diff ID, under <store>/snapshots/. A snapshot that exists is whole (unpacked
// beside, then renamed) and never changes. Safe for concurrent threads and processes.
// A layer that says less than it means (no attributes of a folder that a layer below describes otherwise, a
// hard link to a file below) is unpacked once more on top of those, by the chain ID. Whiteouts become what
// overlayfs expects. Without CAP_CHOWN, owners are not restored and everything belongs to the calling user.
class Snapshots {
 public:
  explicit Snapshots(const Store& store);

  // Unpacks what is missing, layers in parallel. Returns the folders topmost layer first: overlayfs'
  // `lowerdir` order. Throws Invalid for a hostile or corrupt layer, Infrastructure for a full disk.
  // `lease`: keeps them, and the image, for as long as it lasts; without it only until the next collect().
  std::vector<std::filesystem::path> prepare(const Image& image, Lease* lease = nullptr) const;

  // Removes the one of a diff or chain ID (or, as a trial, does not). `goes` is asked while nobody can begin
  // to use it; nullopt when it says no, or somebody unpacks it right now. Else the bytes of its files.
  std::optional<uint64_t> remove(const Digest& id, const std::function<bool(const struct stat&)>& goes,
                                 bool trial) const;

 private:
  std::vector<std::filesystem::path> prepare_each(const Image& image,
                                                  const std::vector<Digest>& chains) const;

  const Store& store_;
};

}  // namespace kiln::registry
