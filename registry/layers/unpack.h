#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "base/error.h"

namespace kiln::registry {

// What a stranger's layer may cost.
struct UnpackLimits {
  uint64_t bytes = 64ull << 30;  // of the tar, and of the files it describes
  uint64_t ratio = 1200;         // tar bytes over blob bytes, once past a gigabyte (deflate's best is 1032)
  uint64_t entries = 2'000'000;
  size_t path_length = 4096;
  size_t depth = 255;
};

struct UnpackOptions {
  UnpackLimits limits;
  // Restore owners, make devices, use trusted.* attributes. Otherwise all belongs to the caller, devices are
  // left out, and opaque folders are marked for overlayfs' `userxattr`.
  bool privileged = true;
  // The layers below this one, unpacked, topmost first. What the layer relies on is taken from them: the
  // attributes of folders that it does not describe, links to folders, targets of hard links.
  std::vector<std::filesystem::path> lower = {};
  int writers = 4;  // threads that create files: the disk's metadata is what takes the time
};

struct UnpackReport {
  uint64_t entries = 0;
  uint64_t tar_bytes = 0;
  uint64_t skipped_devices = 0;
  std::string diff_id;               // of the tar
  std::vector<std::string> implied;  // folders that entries lie in and none describes; "" is the root
};

// The layer means something that lies in a layer below, and was unpacked without them. Invalid.
struct ReliesOnLower : Error {
  using Error::Error;
};

// Reads the compressed layer piece by piece: fills `buffer`, returns the count, 0 at the end.
using LayerReader = std::function<size_t(char* buffer, size_t size)>;

// Unpacks one layer (image-spec layer.md) into the empty folder `target`, in overlayfs' form: a whiteout
// becomes a character device 0:0, an opaque folder gets the attribute overlay.opaque. Nothing is ever
// written outside of `target`, whatever the archive says. Throws Invalid for a hostile or corrupt archive,
// also when the blob's digest or the tar's (`diff_id`) is not the expected one; Infrastructure for a full
// disk. After an exception `target` holds whatever was unpacked until then.
UnpackReport unpack_layer(const LayerReader& read, const std::filesystem::path& target,
                          const std::optional<Digest>& blob, const std::optional<Digest>& diff_id,
                          const UnpackOptions& options = {});

// True when this process may chown, mknod and set trusted.* attributes.
bool may_unpack_privileged();

}  // namespace kiln::registry
