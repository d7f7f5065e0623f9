#include "steps/spawn.h"

#include <cerrno>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
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

KILN_RAW int child_main(void* argument) {
  Child& child = *static_cast<Child*>(argument);
  constexpr int kAbove = 64;  // above all targets, so that no source is overwritten before its turn
  int moved[kAbove];
  for (int i = 0; i < child.count; ++i) {
    moved[i] = static_cast<int>(::syscall(SYS_fcntl, child.fds[i], F_DUPFD_CLOEXEC, kAbove));
    if (moved[i] < 0) goto failed;
  }
  child.program = static_cast<int>(::syscall(SYS_fcntl, child.program, F_DUPFD_CLOEXEC, kAbove));
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

}  // namespace

Spawned spawn_sandbox_program(std::span<const int> fds, int clone_flags) {
  constexpr size_t kStack = 64 << 10;
  Child child{fds.data(), static_cast<int>(fds.size()), sandbox_program(), (clone_flags & CLONE_NEWUSER) != 0,
              0};
  void* stack =
      ::mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (stack == MAP_FAILED) throw_errno("cannot allocate memory");
  // No signal may be handled by the child, which would run our handler in our memory. The program expects to
  // start with all signals blocked.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int pidfd = -1;
  const int pid = ::__clone(child_main, static_cast<char*>(stack) + kStack,
                            CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD | clone_flags, &child, &pidfd);
  const int error = errno;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ::munmap(stack, kStack);
  if (pid < 0) {
    errno = error;
    return {};
  }
  Spawned spawned{pid, UniqueFd(pidfd)};
  if (child.error != 0) {
    siginfo_t info;
    ::waitid(P_PIDFD, static_cast<id_t>(pidfd), &info, WEXITED);
    throw_errno(child.error, "cannot execute the sandbox program");
  }
  return spawned;
}

}  // namespace kiln::steps
