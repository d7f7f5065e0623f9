#include "steps/spawn.h"

#include <cerrno>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <string>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/error.h"
#include "base/fs.h"

// clone(2) by the name that ThreadSanitizer leaves alone. It takes the child for a fork, in memory that it
// shares with us, and from then on refuses our new threads.
extern "C" int __clone(int (*function)(void*), void* stack, int flags, void* argument, ...);

extern "C" const unsigned char kiln_sandbox_program_begin[], kiln_sandbox_program_end[];

// The child runs in our memory on a stack of its own: it must not touch anything but its argument, and no
// sanitizer may follow it.
#define KILN_RAW __attribute__((no_sanitize("address"), no_sanitize("thread"), no_sanitize("undefined")))

namespace kiln::steps {
namespace {

// Sealed, so that nothing, not even a step that finds it under /proc, can change what later steps run on.
int sandbox_program() {
  static const UniqueFd program = [] {
    UniqueFd fd(::memfd_create("kiln-sandbox", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (!fd) throw_errno("cannot make the sandbox program");
    const auto* begin = reinterpret_cast<const char*>(kiln_sandbox_program_begin);
    const auto* end = reinterpret_cast<const char*>(kiln_sandbox_program_end);
    write_all(fd.get(), {begin, static_cast<size_t>(end - begin)}, "cannot make the sandbox program");
    if (::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
      throw_errno("cannot seal the sandbox program");
    return fd;
  }();
  return program.get();
}

struct Child {
  const int* fds;
  int count;
  int program;
  bool keep_capabilities;
  int error;
};

// Out of the way of the targets, so that no source is overwritten before its turn.
KILN_RAW int above_targets(const Child& child, int fd) {
  return fd >= child.count ? fd : static_cast<int>(::syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, child.count));
}

KILN_RAW int child_main(void* argument) {
  Child& child = *static_cast<Child*>(argument);
  constexpr int kMost = 64;
  int moved[kMost];
  for (int i = 0; i < child.count; ++i)
    if ((moved[i] = above_targets(child, child.fds[i])) < 0) goto failed;
  child.program = above_targets(child, child.program);
  for (int i = 0; i < child.count; ++i)
    if (::syscall(SYS_dup3, moved[i], i, 0) < 0) goto failed;
  ::syscall(SYS_close_range, static_cast<unsigned>(child.count), ~0u, CLOSE_RANGE_CLOEXEC);

  if (child.keep_capabilities) {
    // An exec by a user who is not 0 in the new namespace would drop them; ambient ones stay.
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[2];
    ::syscall(SYS_capget, &header, data);
    data[0].inheritable = data[0].permitted;
    data[1].inheritable = data[1].permitted;
    ::syscall(SYS_capset, &header, data);
    for (long cap = 0; cap < 64; ++cap)
      if (::syscall(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) != 0) break;
  }
  {
    char name[] = "kiln-sandbox";
    char* const argv[] = {name, nullptr};
    char* const envp[] = {nullptr};
    ::syscall(SYS_execveat, child.program, "", argv, envp, AT_EMPTY_PATH);
  }
failed:
  child.error = errno;
  ::syscall(SYS_exit, 127);
  return 127;
}

class Stack {
 public:
  Stack() {
    if (memory_ == MAP_FAILED) throw_errno("cannot allocate memory");
  }
  ~Stack() { ::munmap(memory_, kSize); }
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;
  char* top() const { return static_cast<char*>(memory_) + kSize; }

 private:
  static constexpr size_t kSize = 64 << 10;
  void* memory_ =
      ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
};

// No signal may be handled by the child, which would run our handler in our memory. The program expects to
// start with all signals blocked.
class BlockedSignals {
 public:
  BlockedSignals() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~BlockedSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  BlockedSignals(const BlockedSignals&) = delete;
  BlockedSignals& operator=(const BlockedSignals&) = delete;

 private:
  sigset_t before_;
};

// The one that enters a network: of our memory and our descriptors, and no longer there than its own child
// takes to exec.
struct Entrant {
  int owner, network;
  const char *uids, *gids;
  size_t uids_size, gids_size;
  Child child;
  char* child_stack;
  int flags;
  int pid = -1, pidfd = -1;
  int error = 0;
  const char* what = "";
};

KILN_RAW bool write_map(int pid, const char* file, const char* lines, size_t size) {
  char path[64] = "/proc/";
  size_t used = 6;
  char digits[12];
  size_t count = 0;
  for (int rest = pid; rest > 0; rest /= 10) digits[count++] = static_cast<char>('0' + rest % 10);
  while (count > 0) path[used++] = digits[--count];
  for (; *file; ++file) path[used++] = *file;
  path[used] = 0;
  const int fd = static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CLOEXEC));
  const bool written = fd >= 0 && ::syscall(SYS_write, fd, lines, size) == static_cast<long>(size);
  const int error = errno;
  if (fd >= 0) ::syscall(SYS_close, fd);
  errno = error;
  return written;
}

KILN_RAW void give_up(Entrant& entrant, const char* what) {
  entrant.error = errno;
  entrant.what = what;
  ::syscall(SYS_exit, 1);
}

KILN_RAW int entrant_main(void* argument) {
  Entrant& entrant = *static_cast<Entrant*>(argument);
  if (::syscall(SYS_setns, entrant.owner, CLONE_NEWUSER) != 0)
    give_up(entrant, "cannot enter the pod's user namespace");
  if (::syscall(SYS_setns, entrant.network, CLONE_NEWNET) != 0)
    give_up(entrant, "cannot join the pod's network");
  // CLONE_PARENT: ours to wait for.
  entrant.pid = ::__clone(child_main, entrant.child_stack,
                          CLONE_VM | CLONE_VFORK | CLONE_PARENT | CLONE_PIDFD | SIGCHLD | entrant.flags,
                          &entrant.child, &entrant.pidfd);
  if (entrant.pid < 0) give_up(entrant, "cannot make the sandbox's namespaces");
  if (entrant.child.error == 0 && (!write_map(entrant.pid, "/uid_map", entrant.uids, entrant.uids_size) ||
                                   !write_map(entrant.pid, "/gid_map", entrant.gids, entrant.gids_size)))
    give_up(entrant, "cannot map users into the sandbox");
  ::syscall(SYS_exit, 0);
  return 0;
}

Child child_of(std::span<const int> fds, int clone_flags) {
  return {fds.data(), static_cast<int>(fds.size()), sandbox_program(), (clone_flags & CLONE_NEWUSER) != 0, 0};
}

void check_executed(const Child& child, const Spawned& spawned) {
  if (child.error == 0) return;
  siginfo_t info;
  ::waitid(P_PIDFD, static_cast<id_t>(spawned.pidfd.get()), &info, WEXITED);
  throw_errno(child.error, "cannot execute the sandbox program");
}

}  // namespace

Spawned spawn_sandbox_program(std::span<const int> fds, int clone_flags) {
  Child child = child_of(fds, clone_flags);
  const Stack stack;
  int pidfd = -1, pid = -1, error = 0;
  {
    const BlockedSignals blocked;
    pid = ::__clone(child_main, stack.top(), CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD | clone_flags,
                    &child, &pidfd);
    error = errno;
  }
  if (pid < 0) {
    errno = error;
    return {};
  }
  Spawned spawned{pid, UniqueFd(pidfd)};
  check_executed(child, spawned);
  return spawned;
}

Spawned spawn_in_network(std::span<const int> fds, int clone_flags, const ForeignNetwork& network) {
  const Stack stack, child_stack;
  const std::string &uids = network.maps.uids, &gids = network.maps.gids;
  Entrant entrant{network.owner,
                  network.network,
                  uids.data(),
                  gids.data(),
                  uids.size(),
                  gids.size(),
                  child_of(fds, clone_flags),
                  child_stack.top(),
                  clone_flags};
  int pid = -1, error = 0;
  {
    const BlockedSignals blocked;
    // CLONE_FILES: so that its child's pidfd is ours.
    pid = ::__clone(entrant_main, stack.top(), CLONE_VM | CLONE_VFORK | CLONE_FILES | SIGCHLD, &entrant);
    error = errno;
  }
  if (pid < 0) throw_errno(error, "cannot enter the pod's network");
  int status = 0;
  while (::waitpid(pid, &status, __WALL) < 0 && errno == EINTR) {
  }
  Spawned spawned{entrant.pid, UniqueFd(entrant.pidfd)};
  if (entrant.error != 0 && entrant.pid > 0) {  // it waits for maps that never come
    ::syscall(SYS_pidfd_send_signal, spawned.pidfd.get(), SIGKILL, nullptr, 0);
    siginfo_t info;
    ::waitid(P_PIDFD, static_cast<id_t>(spawned.pidfd.get()), &info, WEXITED);
  }
  if (entrant.error != 0) throw_errno(entrant.error, entrant.what);
  check_executed(entrant.child, spawned);
  return spawned;
}

}  // namespace kiln::steps
