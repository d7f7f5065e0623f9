#pragma once

#include "base/unique_fd.h"

namespace kiln::steps {

// A network namespace with nothing but loopback, up, for all sandboxes of a pod to join. It lasts as long as
// this or a process in it. Throws Infrastructure without CAP_SYS_ADMIN.
UniqueFd make_network_namespace();

// A TCP socket in that namespace (-1: in ours), non-blocking, not yet connected.
UniqueFd socket_in(int network_namespace);

}  // namespace kiln::steps
