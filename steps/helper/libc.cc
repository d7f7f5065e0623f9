// What the sandbox program uses of the C library, made of system calls, in place of the library itself: the
// start of a static glibc asks the processor about its caches, and each answer (cpuid) leaves the virtual
// machine; that is 0.2 ms for every step. The declarations are the library's own. There is one child at most
// that shares our memory, so errno is two variables.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "steps/helper/system_call.h"

using kiln::steps::helper::call;
using kiln::steps::helper::checked;
using kiln::steps::helper::child_stack;
using kiln::steps::helper::kChildStack;
using kiln::steps::helper::raw_call;

namespace {

int error_number = 0, childs_error_number = 0;

constexpr long kSignalSetSize = 8;  // the kernel's; the library's is larger

}  // namespace

// Where the kernel begins, and where a child does that has a stack of its own.
#if defined(__x86_64__)
__asm__(
    ".globl _start\n"
    "_start:\n"
    "  xor %ebp, %ebp\n"
    "  and $-16, %rsp\n"
    "  call main\n"
    "  hlt\n"
    // long start_child(flags, stack, function, argument, child_tid): as clone(2)
    ".globl start_child\n"
    "start_child:\n"
    "  mov %r8, %r10\n"
    "  mov %rdx, %r8\n"
    "  mov %rcx, %r9\n"
    "  xor %edx, %edx\n"
    "  mov $56, %eax\n"
    "  syscall\n"
    "  test %rax, %rax\n"
    "  jz 1f\n"
    "  ret\n"
    "1:\n"
    "  xor %ebp, %ebp\n"
    "  mov %r9, %rdi\n"
    "  call *%r8\n"
    "  hlt\n");
#elif defined(__aarch64__)
__asm__(
    ".globl _start\n"
    "_start:\n"
    "  bl main\n"
    "  brk #0\n"
    ".globl start_child\n"
    "start_child:\n"
    "  mov x9, x2\n"
    "  mov x10, x3\n"
    "  mov x2, #0\n"
    "  mov x3, #0\n"
    "  mov x8, #220\n"
    "  svc 0\n"
    "  cbz x0, 1f\n"
    "  ret\n"
    "1:\n"
    "  mov x0, x10\n"
    "  blr x9\n"
    "  brk #0\n");
#endif

extern "C" {

long start_child(unsigned long flags, void* stack, int (*function)(void*), void* argument, int* child_tid);

int* __errno_location() noexcept {
  const auto* here = static_cast<const char*>(__builtin_frame_address(0));
  return here >= child_stack && here < child_stack + kChildStack ? &childs_error_number : &error_number;
}

// Files

int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const unsigned mode = flags & O_CREAT ? va_arg(arguments, unsigned) : 0;
  va_end(arguments);
  return static_cast<int>(call(SYS_openat, AT_FDCWD, path, flags, mode));
}
int close(int fd) {
  return static_cast<int>(call(SYS_close, fd));
}
ssize_t read(int fd, void* to, size_t size) {
  return call(SYS_read, fd, to, static_cast<long>(size));
}
ssize_t write(int fd, const void* from, size_t size) {
  return call(SYS_write, fd, from, static_cast<long>(size));
}
int dup2(int from, int to) noexcept {
  return from == to ? to : static_cast<int>(call(SYS_dup3, from, to, 0));
}
int ioctl(int fd, unsigned long request, ...) noexcept {
  va_list arguments;
  va_start(arguments, request);
  const long argument = va_arg(arguments, long);
  va_end(arguments);
  return static_cast<int>(call(SYS_ioctl, fd, static_cast<long>(request), argument));
}
int poll(pollfd* fds, nfds_t count, int milliseconds) {
  const timespec time{milliseconds / 1000, milliseconds % 1000 * 1'000'000l};
  return static_cast<int>(call(SYS_ppoll, fds, static_cast<long>(count),
                               milliseconds < 0 ? nullptr : static_cast<const void*>(&time), 0));
}
void* mmap(void* at, size_t size, int protection, int flags, int fd, off_t offset) noexcept {
  return reinterpret_cast<void*>(
      call(SYS_mmap, at, static_cast<long>(size), protection, flags, fd, static_cast<long>(offset)));
}
int fstat(int fd, struct stat* to) noexcept {
  return static_cast<int>(call(SYS_newfstatat, fd, "", to, AT_EMPTY_PATH));
}
int stat(const char* __restrict path, struct stat* __restrict to) noexcept {
  return static_cast<int>(call(SYS_newfstatat, AT_FDCWD, path, to, 0));
}
int lstat(const char* __restrict path, struct stat* __restrict to) noexcept {
  return static_cast<int>(call(SYS_newfstatat, AT_FDCWD, path, to, AT_SYMLINK_NOFOLLOW));
}
int mkdir(const char* path, mode_t mode) noexcept {
  return static_cast<int>(call(SYS_mkdirat, AT_FDCWD, path, mode));
}
int mknod(const char* path, mode_t mode, dev_t device) noexcept {
  return static_cast<int>(call(SYS_mknodat, AT_FDCWD, path, mode, static_cast<long>(device)));
}
int symlink(const char* target, const char* path) noexcept {
  return static_cast<int>(call(SYS_symlinkat, target, AT_FDCWD, path));
}
ssize_t readlink(const char* __restrict path, char* __restrict to, size_t size) noexcept {
  return call(SYS_readlinkat, AT_FDCWD, path, to, static_cast<long>(size));
}
int unlinkat(int folder, const char* path, int flags) noexcept {
  return static_cast<int>(call(SYS_unlinkat, folder, path, flags));
}
int unlink(const char* path) noexcept {
  return unlinkat(AT_FDCWD, path, 0);
}
int rmdir(const char* path) noexcept {
  return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}
int chown(const char* path, uid_t user, gid_t group) noexcept {
  return static_cast<int>(call(SYS_fchownat, AT_FDCWD, path, user, group, 0));
}
int fchown(int fd, uid_t user, gid_t group) noexcept {
  return static_cast<int>(call(SYS_fchown, fd, user, group));
}
int chdir(const char* path) noexcept {
  return static_cast<int>(call(SYS_chdir, path));
}
mode_t umask(mode_t mask) noexcept {
  return static_cast<mode_t>(call(SYS_umask, mask));
}

// A dirent is what getdents64(2) fills in. One folder at a time.
struct __dirstream {
  int fd;
  long filled, at;
  alignas(8) char entries[4096];
};
DIR* opendir(const char* path) {
  static __dirstream stream;
  stream.fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  stream.filled = stream.at = 0;
  return stream.fd < 0 ? nullptr : &stream;
}
dirent* readdir(DIR* stream) {
  if (stream->at == stream->filled) {
    stream->filled = call(SYS_getdents64, stream->fd, stream->entries, long{sizeof stream->entries});
    stream->at = 0;
    if (stream->filled <= 0) return nullptr;
  }
  auto* entry = reinterpret_cast<dirent*>(stream->entries + stream->at);
  stream->at += entry->d_reclen;
  return entry;
}
int closedir(DIR* stream) {
  return close(stream->fd);
}

// Mounts

int mount(const char* source, const char* target, const char* type, unsigned long flags,
          const void* options) noexcept {
  return static_cast<int>(call(SYS_mount, source, target, type, static_cast<long>(flags), options));
}
int umount2(const char* target, int flags) noexcept {
  return static_cast<int>(call(SYS_umount2, target, flags));
}
int open_tree(int folder, const char* path, unsigned flags) noexcept {
  return static_cast<int>(call(SYS_open_tree, folder, path, flags));
}
int move_mount(int from, const char* source, int to, const char* target, unsigned flags) noexcept {
  return static_cast<int>(call(SYS_move_mount, from, source, to, target, flags));
}
int mount_setattr(int folder, const char* path, unsigned flags, mount_attr* attributes,
                  size_t size) noexcept {
  return static_cast<int>(call(SYS_mount_setattr, folder, path, flags, attributes, static_cast<long>(size)));
}

// Processes and what they have

long syscall(long number, ...) noexcept {
  va_list arguments;
  va_start(arguments, number);
  long all[6];
  for (long& one : all) one = va_arg(arguments, long);
  va_end(arguments);
  return checked(raw_call(number, all[0], all[1], all[2], all[3], all[4], all[5]));
}
int prctl(int operation, ...) noexcept {
  va_list arguments;
  va_start(arguments, operation);
  long all[4];
  for (long& one : all) one = va_arg(arguments, long);
  va_end(arguments);
  return static_cast<int>(call(SYS_prctl, operation, all[0], all[1], all[2], all[3]));
}
int clone(int (*function)(void*), void* stack, int flags, void* argument, ...) noexcept {
  va_list more;
  va_start(more, argument);
  int* child_tid = nullptr;
  if (flags & CLONE_CHILD_CLEARTID) {
    va_arg(more, int*);   // where the parent would find the id
    va_arg(more, void*);  // thread-local storage
    child_tid = va_arg(more, int*);
  }
  va_end(more);
  auto top = reinterpret_cast<unsigned long>(stack) & ~15ul;
  return static_cast<int>(checked(start_child(static_cast<unsigned long>(flags), reinterpret_cast<void*>(top),
                                              function, argument, child_tid)));
}
int execve(const char* path, char* const* args, char* const* env) noexcept {
  return static_cast<int>(call(SYS_execve, path, args, env));
}
void _exit(int code) {
  for (;;) raw_call(SYS_exit_group, code, 0, 0, 0, 0, 0);
}
pid_t waitpid(pid_t pid, int* status, int options) {
  return static_cast<pid_t>(call(SYS_wait4, pid, status, options, 0));
}
pid_t setsid() noexcept {
  return static_cast<pid_t>(call(SYS_setsid));
}
int unshare(int flags) noexcept {
  return static_cast<int>(call(SYS_unshare, flags));
}
int setns(int fd, int type) noexcept {
  return static_cast<int>(call(SYS_setns, fd, type));
}
int sethostname(const char* name, size_t size) noexcept {
  return static_cast<int>(call(SYS_sethostname, name, static_cast<long>(size)));
}
int clock_gettime(clockid_t clock, timespec* to) noexcept {
  return static_cast<int>(call(SYS_clock_gettime, clock, to));
}

// Signals

int kill(pid_t pid, int number) noexcept {
  return static_cast<int>(call(SYS_kill, pid, number));
}
int sigemptyset(sigset_t* set) noexcept {
  *set = {};
  return 0;
}
int sigaddset(sigset_t* set, int number) noexcept {
  set->__val[0] |= 1ul << (number - 1);
  return 0;
}
int sigprocmask(int how, const sigset_t* __restrict set, sigset_t* __restrict old) noexcept {
  return static_cast<int>(call(SYS_rt_sigprocmask, how, set, old, kSignalSetSize));
}
int signalfd(int fd, const sigset_t* set, int flags) noexcept {
  return static_cast<int>(call(SYS_signalfd4, fd, set, kSignalSetSize, flags));
}

// Sockets

int socket(int domain, int type, int protocol) noexcept {
  return static_cast<int>(call(SYS_socket, domain, type, protocol));
}
ssize_t send(int fd, const void* from, size_t size, int flags) {
  return call(SYS_sendto, fd, from, static_cast<long>(size), flags, 0, 0);
}
ssize_t recv(int fd, void* to, size_t size, int flags) {
  return call(SYS_recvfrom, fd, to, static_cast<long>(size), flags, 0, 0);
}
ssize_t sendmsg(int fd, const msghdr* message, int flags) {
  return call(SYS_sendmsg, fd, message, flags);
}

}  // extern "C"
