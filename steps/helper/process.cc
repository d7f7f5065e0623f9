#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "steps/helper/spec.h"
#include "steps/helper/system_call.h"

// The step's own process. It shares PID 1's memory until it execs, so everything here is plain system calls,
// and what goes wrong is simply left in memory for PID 1 to report. It gets ready (the seccomp filter alone
// is 0.1 ms of compiling in the kernel) while PID 1 mounts what it is going to see.
namespace kiln::steps::helper {
namespace {

struct Launch {
  const Spec* spec;
  char** args;
  bool beside = false;  // PID 1 has no standard streams to give, and the root is whole
  int go = 0;           // a futex: 1 when the root is whole
  int running = 1;      // a futex: the kernel makes it 0 when the process execs or ends
  int code = 0;         // 126 or 127 when it could not be started
  int error = 0;
  const char* what = nullptr;
  const char* object = "";
};

[[noreturn]] void give_up(Launch& launch, int code, const char* what, const char* object = "") {
  launch.error = errno;
  launch.code = code;
  launch.what = what;
  launch.object = object;
  _exit(code);
}

void set_capabilities(uint64_t mask) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  for (int i = 0; i < 2; ++i) {
    data[i].effective = static_cast<uint32_t>(mask >> (32 * i));
    data[i].permitted = data[i].effective;
  }
  syscall(SYS_capset, &header, data);
}

// Abstract Unix sockets belong to the network, and some of the machine's programs trust whoever reaches
// theirs (CVE-2020-15257). landlock(7), ABI 6; older kernels refuse the ruleset and leave it at that.
void leave_abstract_sockets() {
  constexpr int kCreateRuleset = 444, kRestrictSelf = 446;
  const struct { uint64_t handled_access_fs, handled_access_net, scoped; } only_own_sockets{0, 0, 1};
  const long ruleset = syscall(kCreateRuleset, &only_own_sockets, sizeof only_own_sockets, 0);
  if (ruleset < 0) return;
  syscall(kRestrictSelf, ruleset, 0);
  close(static_cast<int>(ruleset));
}

void drop_privileges(Launch& launch) {
  const Spec& spec = *launch.spec;
  const wire::Header& h = *spec.header;
  const bool trusted = spec.has(wire::kTrusted);
  const uint64_t keep = h.uid == 0 ? h.capabilities : 0;
  if (!trusted) {
    for (unsigned cap = 0; cap < 64; ++cap)
      if (!(keep >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0) {
        if (errno == EINVAL) break;  // past the last one this kernel knows
        give_up(launch, 126, "cannot drop capabilities");
      }
  }
  if (spec.has(wire::kSetGroups) && syscall(SYS_setgroups, h.groups, spec.groups) != 0)
    give_up(launch, 126, "cannot set the groups");
  if (syscall(SYS_setresgid, h.gid, h.gid, h.gid) != 0) give_up(launch, 126, "cannot set the group");
  if (syscall(SYS_setresuid, h.uid, h.uid, h.uid) != 0) give_up(launch, 126, "cannot set the user");
  if (trusted) return;
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  set_capabilities(keep);
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) give_up(launch, 126, "cannot set no_new_privs");
  if (spec.has(wire::kHostNetwork)) leave_abstract_sockets();
  if (h.seccomp) {
    const sock_fprog program{static_cast<unsigned short>(h.seccomp), const_cast<sock_filter*>(spec.seccomp)};
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &program) != 0)
      give_up(launch, 126, "cannot install the seccomp filter");
  }
}

const char* path_variable(char** env) {
  for (; *env; ++env)
    if (strncmp(*env, "PATH=", 5) == 0) return *env + 5;
  return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

// execvpe(3), but with the sandbox's PATH, never through a shell, and with every way to fail told apart.
[[noreturn]] void exec(Launch& launch) {
  char** args = launch.args;
  char** env = launch.spec->env;
  const char* name = args[0];
  if (!name || !*name) give_up(launch, 127, "there is no command to run");
  bool denied = false;
  auto attempt = [&](const char* path) {
    execve(path, args, env);
    struct stat st;
    if (errno == ENOENT && stat(path, &st) == 0)
      give_up(launch, 127, "the interpreter or dynamic loader is missing of", name);
    if (errno == EACCES)
      denied = true;
    else if (errno != ENOENT && errno != ENOTDIR)
      give_up(launch, 126, "cannot execute", name);
  };
  if (strchr(name, '/')) {
    attempt(name);
    give_up(launch, denied ? 126 : 127, "cannot execute", name);
  }
  char path[4096];
  const size_t length = strlen(name);
  for (const char* folder = path_variable(env);; ++folder) {
    const size_t n = strcspn(folder, ":");
    if (n + length + 2 < sizeof path) {
      memcpy(path, n ? folder : ".", n ? n : 1);
      size_t used = n ? n : 1;
      path[used++] = '/';
      memcpy(path + used, name, length + 1);
      attempt(path);
    }
    folder += n;
    if (!*folder) break;
  }
  errno = denied ? EACCES : ENOENT;
  give_up(launch, denied ? 126 : 127, denied ? "cannot execute" : "not found in PATH:", name);
}

// Waits until a word is not `value` any more. Not a private futex: the kernel wakes those at an exec or exit.
void wait_while(const int& word, int value) {
  while (__atomic_load_n(&word, __ATOMIC_ACQUIRE) == value)
    syscall(SYS_futex, &word, FUTEX_WAIT, value, 0, 0, 0);
}

void let_go(Launch& launch) {
  __atomic_store_n(&launch.go, 1, __ATOMIC_RELEASE);
  syscall(SYS_futex, &launch.go, FUTEX_WAKE, 1, 0, 0, 0);
}

int child(void* argument) {
  Launch& launch = *static_cast<Launch*>(argument);
  const Spec& spec = *launch.spec;
  for (uint32_t i = 0; i < spec.header->cgroups; ++i)
    if (write(wire::kFirstCgroupFd + static_cast<int>(i), "0", 1) != 1)
      give_up(launch, 126, "cannot join the cgroup");
  // Signal dispositions are not shared with PID 1 (no CLONE_SIGHAND). Not by sigaction(3), which refuses the
  // C library's own two signals; zeros are the kernel's SIG_DFL, no flags, an empty mask.
  const unsigned long fresh[4] = {};
  for (int number = 1; number < 65; ++number) syscall(SYS_rt_sigaction, number, fresh, nullptr, 8);
  if (launch.beside) {
    const int null = open("/dev/null", O_RDWR);
    for (int fd : {0, 1, 2}) dup2(null, fd);
  }
  syscall(SYS_close_range, 3u, ~0u, 0u);
  setsid();
  ioctl(0, TIOCSCTTY, 0);  // a shell on a terminal controls its jobs; of anything else this is refused
  drop_privileges(launch);
  wait_while(launch.go, 0);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  exec(launch);
}

// The step's; the only one of this program's life.
Launch step;
int step_pid = -1;

}  // namespace

int start_beside(const Spec& spec, char** args) {
  Launch launch{.spec = &spec, .args = args, .beside = true, .go = 1};
  // What keeps it from starting is its exit code.
  return clone(child, child_stack + kChildStack, CLONE_VM | CLONE_VFORK | SIGCHLD, &launch);
}

// It shares our root, working directory and umask (CLONE_FS) until start_process(): so it comes along into
// the new root, and needs no rights to enter the step's folder.
void prepare_process(const Spec& spec) {
  step = {.spec = &spec, .args = spec.args};
  step_pid = clone(child, child_stack + kChildStack, CLONE_VM | CLONE_FS | CLONE_CHILD_CLEARTID | SIGCHLD,
                   &step, nullptr, nullptr, &step.running);
  if (step_pid < 0) fail("cannot start a process");
}

int start_process(const Spec& spec, int64_t& started_ns) {
  umask(022);
  if (chdir(spec.cwd) != 0) {
    step.error = errno;
    step.code = 126;
    step.what = "cannot enter the working directory";
    step.object = spec.cwd;
  } else {
    if (unshare(CLONE_FS) != 0) fail("cannot leave the step its working directory");
    let_go(step);
    wait_while(step.running, 1);
  }
  started_ns = now_ns();
  wire::Status status{};
  if (step.what) {
    status.event = wire::Event::ExecFailed;
    status.code = step.code;
    set_message(status, step.what, *step.object ? " " : "", step.object);
    status.error = step.error;
  } else {
    status.event = wire::Event::Started;
  }
  report(status);
  if (status.event != wire::Event::Started) _exit(0);
  return step_pid;
}

}  // namespace kiln::steps::helper
