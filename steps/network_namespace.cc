#include "steps/network_namespace.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <thread>

#include "base/error.h"
#include "base/fs.h"
#include "steps/namespace_seed.h"
#include "steps/user_namespace.h"
#include "steps/wire.h"

namespace kiln::steps {
namespace {

// Runs `work` on a thread of its own, whose namespaces are its own too, and ends it.
template <class Work>
UniqueFd on_own_thread(const char* what, const Work& work) {
  UniqueFd made;
  int problem = 0;
  std::thread([&] {
    made = work();
    if (!made) problem = errno;
  }).join();
  if (!made) throw_errno(problem, what);
  return made;
}

bool bring_loopback_up() {
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  return socket && ::ioctl(socket.get(), SIOCSIFFLAGS, &request) == 0;
}

UniqueFd tcp_socket() {
  return UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

}  // namespace

namespace {

// A namespace of users whose root we are, so that what we start can enter it and make its own below.
NetworkNamespace make_without_root() {
  NamespaceSeed seed(CLONE_NEWNET, wire::kNetwork | wire::kLoopback);
  const IdMaps maps = plan_id_maps(0, 0);
  try {
    seed.write_maps(maps);
  } catch (const Error& error) {
    if (maps.how == IdMaps::How::Tools) return make_without_root();  // plans without them now
    throw error.because("cannot map users into the pod's network");
  }
  NetworkNamespace made{seed.open("net"), seed.open("user")};
  seed.go();
  return made;
}

}  // namespace

NetworkNamespace make_network_namespace() {
  if (needs_user_namespace()) return make_without_root();
  UniqueFd made = on_own_thread("cannot make the pod's network", [] {
    if (::unshare(CLONE_NEWNET) != 0 || !bring_loopback_up()) return UniqueFd();
    return UniqueFd(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  });
  return {std::move(made), {}};
}

UniqueFd socket_in(int network_namespace) {
  if (network_namespace < 0) {
    UniqueFd made = tcp_socket();
    if (!made) throw_errno("cannot make a socket");
    return made;
  }
  return on_own_thread("cannot make a socket in the pod's network", [&] {
    return ::setns(network_namespace, CLONE_NEWNET) == 0 ? tcp_socket() : UniqueFd();
  });
}

}  // namespace kiln::steps
