#pragma once

#include <filesystem>
#include <string_view>

#include "base/dirs.h"

// Where a run keeps what must not outlive it: files made from Secrets. Used by the executor only.
namespace kiln::executor {

// A place for run `uid`: in memory where the machine has a tmpfs for this user (XDG_RUNTIME_DIR, /dev/shm),
// else in `run`, the run's own folder, whose `private` then names it for whoever cleans up. Nobody but this
// user can enter it. Only what stands above it is made here.
std::filesystem::path private_folder(const Dirs& dirs, const std::filesystem::path& run,
                                     std::string_view uid);

// Removes it with all it holds, also after its kiln was killed.
void remove_private_folder(const std::filesystem::path& run);

}  // namespace kiln::executor
