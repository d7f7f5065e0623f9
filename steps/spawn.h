#pragma once

#include <cstdint>
#include <span>
#include <sys/types.h>

#include "base/unique_fd.h"
#include "steps/user_namespace.h"

namespace kiln::steps {

struct Spawned {
  pid_t pid = -1;
  UniqueFd pidfd;
};

// Starts the embedded sandbox program as the first process of the namespaces named by `clone_flags`
// (CLONE_NEW…). `fds[i]` becomes its descriptor i; nothing else stays open. With CLONE_NEWUSER it keeps the
// capabilities of the new namespace's owner across its exec.
// Costs the same however large this process is (the child borrows our memory until its exec) and may be
// called from any thread, which may end right after. Returns {-1} with errno set when the kernel refuses the
// clone; throws Infrastructure when the program cannot be executed.
Spawned spawn_sandbox_program(std::span<const int> fds, int clone_flags);

// A network of another user namespace than ours, which is below ours and whose owner we are.
struct ForeignNetwork {
  int owner;  // the user namespace
  int network;
  IdMaps maps;  // of the user namespace among `clone_flags`, which is made below that one
};
// The same, in that network, with its maps written. Throws Infrastructure when it cannot be entered.
Spawned spawn_in_network(std::span<const int> fds, int clone_flags, const ForeignNetwork& network);

}  // namespace kiln::steps
