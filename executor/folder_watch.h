#pragma once

#include <filesystem>
#include <stop_token>
#include <string>

#include "base/unique_fd.h"

namespace kiln::executor {

// Waits for files that another process puts into a folder (inotify(7)). Not for use by several threads at
// once.
class FolderWatch {
 public:
  // Throws Infrastructure when the folder cannot be watched.
  explicit FolderWatch(std::filesystem::path folder);
  // Blocks until `name` is in the folder; at once when it already is. False when `stop` was requested first.
  bool wait_for(const std::string& name, std::stop_token stop);

 private:
  std::filesystem::path folder_;
  UniqueFd inotify_;
};

}  // namespace kiln::executor
