#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "steps/helper/spec.h"

namespace kiln::steps::helper {
namespace {

struct Device {
  const char* path;
  unsigned major, minor;
};
constexpr Device kNodes[kDevices] = {{"/dev/null", 1, 3},   {"/dev/zero", 1, 5},    {"/dev/full", 1, 7},
                                     {"/dev/random", 1, 8}, {"/dev/urandom", 1, 9}, {"/dev/tty", 5, 0}};

}  // namespace

void open_host_devices(int (&trees)[kDevices]) {
  for (int i = 0; i < kDevices; ++i) {
    trees[i] = open_tree(AT_FDCWD, kNodes[i].path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (trees[i] < 0) fail("cannot open the host's", kNodes[i].path);
  }
}

void make_dev(const Spec& spec, const int (&host_devices)[kDevices]) {
  if (mount("tmpfs", "/dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=0755,size=64k") != 0)
    fail("cannot mount /dev");
  for (int i = 0; i < kDevices; ++i) {
    const Device& node = kNodes[i];
    if (host_devices[i] >= 0) {
      if (mknod(node.path, S_IFREG | 0666, 0) != 0 ||
          move_mount(host_devices[i], "", AT_FDCWD, node.path, MOVE_MOUNT_F_EMPTY_PATH) != 0)
        fail("cannot mount", node.path);
      close(host_devices[i]);
    } else if (mknod(node.path, S_IFCHR | 0666, makedev(node.major, node.minor)) != 0) {
      fail("cannot make", node.path);
    }
  }
  constexpr const char* kLinks[][2] = {{"/proc/self/fd", "/dev/fd"},
                                       {"/proc/self/fd/0", "/dev/stdin"},
                                       {"/proc/self/fd/1", "/dev/stdout"},
                                       {"/proc/self/fd/2", "/dev/stderr"},
                                       {"pts/ptmx", "/dev/ptmx"}};
  for (const auto& [to, at] : kLinks)
    if (symlink(to, at) != 0) fail("cannot make the link", at);
  for (const char* path : {"/dev/pts", "/dev/shm", "/dev/mqueue"})
    if (mkdir(path, 0755) != 0) fail("cannot make", path);
  // Group 5 is `tty` everywhere, but in a user namespace it may not be mapped.
  const char* pts = spec.has(wire::kUserNamespace) ? "newinstance,ptmxmode=0666,mode=0620"
                                                   : "newinstance,ptmxmode=0666,mode=0620,gid=5";
  if (mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, pts) != 0) fail("cannot mount /dev/pts");
  if (mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777,size=64m") != 0)
    fail("cannot mount /dev/shm");
  if (mount("mqueue", "/dev/mqueue", "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0 &&
      errno != ENODEV)  // a kernel without POSIX queues
    fail("cannot mount /dev/mqueue");
}

}  // namespace kiln::steps::helper
