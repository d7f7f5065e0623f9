#pragma once

#include "base/unique_fd.h"

namespace kiln::steps {

// A network namespace with nothing but loopback, up, for all sandboxes of a pod to join. It lasts as long as
// this or a process in it.
struct NetworkNamespace {
  UniqueFd network;
  UniqueFd owner;  // without root: the user namespace that it belongs to, to be entered first
};
NetworkNamespace make_network_namespace();

// A TCP socket in that namespace (-1: in ours), non-blocking, not yet connected.
UniqueFd socket_in(int network_namespace);

}  // namespace kiln::steps
