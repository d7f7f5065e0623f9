#pragma once

#include <cstdint>

namespace kiln::steps {

struct Owner {
  uint32_t uid = 0, gid = 0;
  auto operator<=>(const Owner&) const = default;
};

// A user namespace (a descriptor that lives as long as this process) whose map swaps two owners and leaves
// all others alone: mounted with it, a folder of `on_disk` looks and behaves as one of `inside`, and the
// other way round. -1 when the kernel gives none. Needs CAP_SYS_ADMIN; made once per pair. Thread-safe.
int swapping_user_namespace(Owner on_disk, Owner inside);

}  // namespace kiln::steps
