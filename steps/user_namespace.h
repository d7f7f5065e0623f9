#pragma once

#include <cstdint>
#include <string>
#include <sys/types.h>

#include "base/error.h"

namespace kiln::steps {

// Whether sandboxes of this process need a user namespace of their own: without CAP_SYS_ADMIN, or inside a
// user namespace already (where the kernel withholds device nodes and trusted.* attributes).
bool needs_user_namespace();

// Which ids a sandbox's user namespace has. In every case the step's own uid and gid stand for this process's
// own, so that what the step writes belongs to the caller.
struct IdMaps {
  enum class How {
    Direct,  // we may map all ids that we have (root of an outer namespace)
    Tools,   // newuidmap and newgidmap, with this user's ranges of /etc/subuid and /etc/subgid
    Single,  // one id only
  } how = How::Single;
  std::string uids, gids;   // lines of uid_map(5)
  bool set_groups = false;  // setgroups(2) will be allowed
};

IdMaps plan_id_maps(uint32_t uid, uint32_t gid);
// For a namespace below one with the maps plan_id_maps(0, 0): written by a process in that one.
IdMaps plan_nested_id_maps(uint32_t uid, uint32_t gid);
// Writes them for the namespace of process `pid`. Throws Infrastructure; when the tools failed, later plans
// do without them.
void write_id_maps(const IdMaps& maps, pid_t pid);

// The error for a kernel that refuses user namespaces, with the switch that does it if we can see which.
Error no_user_namespaces(int errno_value);

}  // namespace kiln::steps
