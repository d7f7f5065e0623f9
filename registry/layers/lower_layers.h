#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <sys/stat.h>
#include <utility>
#include <vector>

#include "base/unique_fd.h"

namespace kiln::registry {

using Xattrs = std::vector<std::pair<std::string, std::string>>;

// Unpacked layers, read as overlayfs would show them on top of each other. Links are never followed, and
// nothing outside of the layers is ever read. Thread-safe.
class LowerLayers {
 public:
  explicit LowerLayers(std::vector<std::filesystem::path> topmost_first);

  struct Entry {
    UniqueFd fd;  // O_PATH
    struct stat status;
  };
  // What is at the relative `path`; nothing also when a folder on the way is a link.
  std::optional<Entry> find(const std::string& path) const;
  // Whether a folder that is made there without more ado (0755, of root) would show what `find` does not.
  bool differs_from_usual(const std::string& path, bool privileged) const;
  bool empty() const { return layers_.empty(); }

 private:
  std::vector<UniqueFd> layers_;
};

// All extended attributes but those that say something about the machine: overlayfs' own, and SELinux' label.
Xattrs read_xattrs(int fd);
bool is_own_xattr(std::string_view name);

}  // namespace kiln::registry
