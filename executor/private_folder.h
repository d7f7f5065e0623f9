#pragma once

#include <filesystem>
#include <string_view>

#include "base/dirs.h"
#include "base/unique_fd.h"

// Where a run keeps what must not outlive it: files made from Secrets. Used by the executor only.
namespace kiln::executor {

// A place for run `uid`: in memory where the machine has a tmpfs for this user (XDG_RUNTIME_DIR, /dev/shm),
// else in `run`, the run's own folder, whose `private` then names it for whoever cleans up. Nobody but this
// user can enter it. In memory it is locked as long as this is there, and whoever makes one removes those
// that nobody locks any more: their kiln was killed.
class PrivateFolder {
 public:
  PrivateFolder() = default;
  PrivateFolder(const Dirs& dirs, const std::filesystem::path& run, std::string_view uid);
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  UniqueFd lock_;
};

// Removes it with all it holds, also after its kiln was killed.
void remove_private_folder(const std::filesystem::path& run);
// The same where nobody can be told that it failed.
bool try_remove_private_folder(const std::filesystem::path& run) noexcept;

}  // namespace kiln::executor
