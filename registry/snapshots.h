#pragma once

#include <filesystem>
#include <vector>

#include "registry/image.h"

namespace kiln::registry {

class Store;

// Layers unpacked once each, by diff ID, under <store>/snapshots/. A snapshot that exists is whole (unpacked
// beside, then renamed) and never changes. Safe for concurrent threads and processes.
// Whiteouts become what overlayfs expects. Without CAP_CHOWN, owners are not restored and everything
// belongs to the calling user.
class Snapshots {
 public:
  explicit Snapshots(const Store& store);

  // Unpacks what is missing, layers in parallel. Returns the folders topmost layer first: overlayfs'
  // `lowerdir` order. Throws Invalid for a hostile or corrupt layer, Infrastructure for a full disk.
  std::vector<std::filesystem::path> prepare(const Image& image) const;

 private:
  const Store& store_;
};

}  // namespace kiln::registry
