#pragma once

#include <filesystem>
#include <sys/types.h>

#include "base/unique_fd.h"

namespace kiln {

enum class Wait { No, Yes };

// An exclusive flock on what `path` names itself, no link (opened with `flags` and `mode` of open(2)),
// where whoever holds it may remove that or put another in its place: what is gone by the time it is locked
// counts for nothing, and what is there then is locked instead. Nothing when another holds it and there is no
// `wait`. Held as long as the descriptor is open. Throws as base/fs.h does.
UniqueFd lock_named(const std::filesystem::path& path, int flags, mode_t mode, Wait wait);

}  // namespace kiln
