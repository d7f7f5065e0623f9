#include "steps/idmap.h"

#include <cerrno>
#include <fcntl.h>
#include <mutex>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"
#include "steps/spawn.h"
#include "steps/user_namespace.h"
#include "steps/wire.h"

namespace kiln::steps {
namespace {

// uid_map(5) lines: a ↔ b, everything else itself.
std::string swap_map(uint32_t a, uint32_t b) {
  constexpr uint64_t kEnd = 4294967295u;  // (uid_t)-1 is no id
  std::string map;
  const auto line = [&](uint64_t inside, uint64_t outside, uint64_t count) {
    if (count > 0)
      map += std::to_string(inside) + " " + std::to_string(outside) + " " + std::to_string(count) + "\n";
  };
  if (a == b) {
    line(0, 0, kEnd);
    return map;
  }
  const uint64_t low = std::min(a, b), high = std::max(a, b);
  line(0, 0, low);
  line(low, high, 1);
  line(low + 1, low + 1, high - low - 1);
  line(high, low, 1);
  line(high + 1, high + 1, kEnd - high - 1);
  return map;
}

// A namespace needs a process to be born in: the sandbox program, which waits for its maps, never to be told.
UniqueFd make(Owner on_disk, Owner inside) {
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
    throw_errno("cannot make a socket pair");
  UniqueFd control(pair[0]), control_inside(pair[1]);
  const UniqueFd description(::memfd_create("kiln-sandbox-spec", MFD_CLOEXEC));
  wire::Header header{};
  header.flags = wire::kUserNamespace;
  std::string spec(reinterpret_cast<const char*>(&header), sizeof header);
  spec.append(16, '\0');  // its strings, all empty
  write_all(description.get(), spec, "cannot describe the user namespace");
  const UniqueFd null = open_file("/dev/null", O_RDWR);
  const int fds[] = {null.get(), null.get(), null.get(), control_inside.get(), null.get(), description.get()};
  const Spawned spawned = spawn_sandbox_program(fds, CLONE_NEWUSER);
  if (spawned.pid < 0) throw_errno("cannot make a user namespace");
  OnExit reap([&] {
    control.reset();
    siginfo_t info;
    while (::waitid(P_PIDFD, static_cast<id_t>(spawned.pidfd.get()), &info, WEXITED) < 0 && errno == EINTR) {
    }
  });
  control_inside.reset();
  write_id_maps({IdMaps::How::Direct, swap_map(on_disk.uid, inside.uid), swap_map(on_disk.gid, inside.gid)},
                spawned.pid);
  return open_file("/proc/" + std::to_string(spawned.pid) + "/ns/user", O_RDONLY);
}

}  // namespace

int swapping_user_namespace(Owner on_disk, Owner inside) {
  static std::mutex mutex;
  static std::map<std::pair<Owner, Owner>, UniqueFd> made;
  const std::lock_guard lock(mutex);
  const auto key = std::pair(on_disk, inside);
  if (const auto found = made.find(key); found != made.end()) return found->second.get();
  UniqueFd& fd = made[key];
  try {
    fd = make(on_disk, inside);
  } catch (const Error&) {  // remembered as -1: steps then see owners as they are on disk
  }
  return fd.get();
}

}  // namespace kiln::steps
