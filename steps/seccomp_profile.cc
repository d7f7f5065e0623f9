#include "steps/seccomp_profile.h"

#include <cerrno>
#include <cstdlib>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <map>
#include <sched.h>
#include <seccomp.h>
#include <string>
#include <sys/socket.h>
#include <vector>

#include "steps/seccomp_filter.h"

namespace kiln::steps {
namespace {

// By what they are for, so that a reader can check each group. Not here on purpose: mounting, namespaces,
// modules, keyrings, bpf, perf, tracing across users, clocks, swap, reboot, quotas, accounting, io ports.
constexpr const char* kAllowed[] = {
    // files
    "access", "chdir", "chmod", "chown", "chown32", "close", "close_range", "copy_file_range", "creat", "dup",
    "dup2", "dup3", "faccessat", "faccessat2", "fadvise64", "fadvise64_64", "fallocate", "fchdir", "fchmod",
    "fchmodat", "fchmodat2", "fchown", "fchown32", "fchownat", "fcntl", "fcntl64", "fdatasync", "fgetxattr",
    "flistxattr", "flock", "fremovexattr", "fsetxattr", "fstat", "fstat64", "fstatat64", "fstatfs",
    "fstatfs64", "fsync", "ftruncate", "ftruncate64", "futimesat", "getcwd", "getdents", "getdents64",
    "getxattr", "getxattrat", "ioctl", "lchown", "lchown32", "lgetxattr", "link", "linkat", "listxattr",
    "listxattrat", "llistxattr", "_llseek", "lremovexattr", "lseek", "lsetxattr", "lstat", "lstat64", "mkdir",
    "mkdirat", "mknod", "mknodat", "name_to_handle_at", "newfstatat", "oldfstat", "oldlstat", "oldstat",
    "open", "openat", "openat2", "pread64", "preadv", "preadv2", "pwrite64", "pwritev", "pwritev2", "read",
    "readahead", "readlink", "readlinkat", "readv", "removexattr", "removexattrat", "rename", "renameat",
    "renameat2", "rmdir", "sendfile", "sendfile64", "setxattr", "setxattrat", "splice", "stat", "stat64",
    "statfs", "statfs64", "statx", "symlink", "symlinkat", "sync", "sync_file_range", "syncfs", "tee",
    "truncate", "truncate64", "ugetrlimit", "umask", "unlink", "unlinkat", "utime", "utimensat",
    "utimensat_time64", "utimes", "vmsplice", "write", "writev",
    // waiting for files
    "epoll_create", "epoll_create1", "epoll_ctl", "epoll_ctl_old", "epoll_pwait", "epoll_pwait2",
    "epoll_wait", "epoll_wait_old", "eventfd", "eventfd2", "fanotify_mark", "inotify_add_watch",
    "inotify_init", "inotify_init1", "inotify_rm_watch", "io_cancel", "io_destroy", "io_getevents",
    "io_pgetevents", "io_pgetevents_time64", "io_setup", "io_submit", "_newselect", "pipe", "pipe2", "poll",
    "ppoll", "ppoll_time64", "pselect6", "pselect6_time64", "select", "signalfd", "signalfd4",
    "timerfd_create", "timerfd_gettime", "timerfd_gettime64", "timerfd_settime", "timerfd_settime64",
    // memory
    "brk", "cachestat", "get_mempolicy", "madvise", "map_shadow_stack", "mbind", "membarrier", "memfd_create",
    "memfd_secret", "mincore", "mlock", "mlock2", "mlockall", "mmap", "mmap2", "mprotect", "mremap", "mseal",
    "msync", "munlock", "munlockall", "munmap", "pkey_alloc", "pkey_free", "pkey_mprotect",
    "process_mrelease", "remap_file_pages", "set_mempolicy", "set_mempolicy_home_node", "shmat", "shmctl",
    "shmdt", "shmget",
    // processes and threads
    "alarm", "arch_prctl", "capget", "capset", "execve", "execveat", "exit", "exit_group", "fork", "futex",
    "futex_requeue", "futex_time64", "futex_wait", "futex_waitv", "futex_wake", "get_robust_list",
    "get_thread_area", "getcpu", "getegid", "getegid32", "geteuid", "geteuid32", "getgid", "getgid32",
    "getgroups", "getgroups32", "getpgid", "getpgrp", "getpid", "getppid", "getpriority", "getresgid",
    "getresgid32", "getresuid", "getresuid32", "getrlimit", "getrusage", "getsid", "gettid", "getuid",
    "getuid32", "ioprio_get", "ioprio_set", "kill", "landlock_add_rule", "landlock_create_ruleset",
    "landlock_restrict_self", "modify_ldt", "nice", "pause", "pidfd_getfd", "pidfd_open", "pidfd_send_signal",
    "prctl", "prlimit64", "process_madvise", "process_vm_readv", "process_vm_writev", "ptrace",
    "restart_syscall", "rseq", "sched_get_priority_max", "sched_get_priority_min", "sched_getaffinity",
    "sched_getattr", "sched_getparam", "sched_getscheduler", "sched_rr_get_interval",
    "sched_rr_get_interval_time64", "sched_setaffinity", "sched_setattr", "sched_setparam",
    "sched_setscheduler", "sched_yield", "seccomp", "set_robust_list", "set_thread_area", "set_tid_address",
    "setfsgid", "setfsgid32", "setfsuid", "setfsuid32", "setgid", "setgid32", "setgroups", "setgroups32",
    "setpgid", "setpriority", "setregid", "setregid32", "setresgid", "setresgid32", "setresuid",
    "setresuid32", "setreuid", "setreuid32", "setrlimit", "setsid", "setuid", "setuid32", "sysinfo", "tgkill",
    "times", "tkill", "uname", "vfork", "wait4", "waitid", "waitpid", "chroot", "getrandom", "uretprobe",
    // signals
    "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend",
    "rt_sigtimedwait", "rt_sigtimedwait_time64", "rt_tgsigqueueinfo", "sigaction", "sigaltstack", "signal",
    "sigpending", "sigprocmask", "sigreturn", "sigsuspend",
    // time
    "adjtimex", "clock_adjtime", "clock_adjtime64", "clock_getres", "clock_getres_time64", "clock_gettime",
    "clock_gettime64", "clock_nanosleep", "clock_nanosleep_time64", "getitimer", "gettimeofday", "nanosleep",
    "setitimer", "time", "timer_create", "timer_delete", "timer_getoverrun", "timer_gettime",
    "timer_gettime64", "timer_settime", "timer_settime64",
    // sockets and System V / POSIX communication (socket itself has a condition)
    "accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "ipc", "listen",
    "mq_getsetattr", "mq_notify", "mq_open", "mq_timedreceive", "mq_timedreceive_time64", "mq_timedsend",
    "mq_timedsend_time64", "mq_unlink", "msgctl", "msgget", "msgrcv", "msgsnd", "recv", "recvfrom",
    "recvmmsg", "recvmmsg_time64", "recvmsg", "semctl", "semget", "semop", "semtimedop", "semtimedop_time64",
    "send", "sendmmsg", "sendmsg", "sendto", "setsockopt", "shutdown", "socketcall", "socketpair"};

// What the kernel calls an architecture, and libseccomp.
struct Architecture {
  uint32_t audit, library;
};
#if defined(__x86_64__)
constexpr Architecture kArchitectures[] = {{AUDIT_ARCH_X86_64, SCMP_ARCH_X86_64},
                                           {AUDIT_ARCH_I386, SCMP_ARCH_X86}};  // 32-bit programs
#elif defined(__aarch64__)
constexpr Architecture kArchitectures[] = {{AUDIT_ARCH_AARCH64, SCMP_ARCH_AARCH64}};
#else
#error "no seccomp profile for this architecture"
#endif

// What i386 had behind socketcall and ipc at first and then as calls of their own. libseccomp has a name for
// the number of each, but for the name only a number that it made up.
std::map<std::string, uint32_t, std::less<>> late_calls(const Architecture& architecture) {
  std::map<std::string, uint32_t, std::less<>> calls;
  if (architecture.audit != AUDIT_ARCH_I386) return calls;
  constexpr int kFirst = 337, kLast = 402;  // recvmmsg, msgctl
  for (int number = kFirst; number <= kLast; ++number)
    if (char* name = seccomp_syscall_resolve_num_arch(architecture.library, number)) {
      calls[name] = static_cast<uint32_t>(number);
      std::free(name);
    }
  return calls;
}

constexpr uint32_t refuse_with(uint32_t error) {
  return SECCOMP_RET_ERRNO | error;
}

SystemCallTable table_for(const Architecture& architecture) {
  using When = SystemCallVerdict::When;
  SystemCallTable table{.architecture = architecture.audit, .calls = {}, .otherwise = refuse_with(EPERM)};
  if (architecture.audit == AUDIT_ARCH_X86_64) {
    table.end = 0x40000000;  // x32's, of which the names here say nothing
    table.beyond = SECCOMP_RET_KILL_THREAD;
  }
  const auto late = late_calls(architecture);
  const auto set = [&](const char* name, SystemCallVerdict verdict) {
    const int number = seccomp_syscall_resolve_name_arch(architecture.library, name);
    if (number >= 0)
      table.calls[static_cast<uint32_t>(number)] = std::move(verdict);
    else if (const auto found = late.find(name); found != late.end())
      table.calls[found->second] = std::move(verdict);
  };
  for (const char* name : kAllowed) set(name, {When::Always, SECCOMP_RET_ALLOW, {}});
  // Only the execution domains that compatibility needs (and 0xffffffff, which asks for the present one).
  set("personality", {When::OneOf, SECCOMP_RET_ALLOW, {0, 0x0008, 0x20000, 0x20008, 0xffffffff}});
  // Threads and children, but no namespaces.
  constexpr uint32_t kNamespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
                                   CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;
  set("clone", {When::NoneOfBits, SECCOMP_RET_ALLOW, {kNamespaces}});
  set("clone3", {When::Always, refuse_with(ENOSYS), {}});
  // VM sockets would reach past every network namespace, to the hypervisor.
  set("socket", {When::NotEqual, SECCOMP_RET_ALLOW, {AF_VSOCK}});
  return table;
}

std::vector<sock_filter> compile() {
  std::vector<SystemCallTable> tables;
  for (const Architecture& architecture : kArchitectures) tables.push_back(table_for(architecture));
  return seccomp_filter(tables, SECCOMP_RET_KILL_THREAD);
}

}  // namespace

std::span<const sock_filter> seccomp_program() {
  static const std::vector<sock_filter> program = compile();
  return program;
}

std::span<const char* const> allowed_system_calls() {
  return kAllowed;
}

}  // namespace kiln::steps
