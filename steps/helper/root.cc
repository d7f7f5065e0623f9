#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "steps/helper/spec.h"

// The order of things here matters. Everything of the host is taken hold of first (detached mounts, open
// folders); then the new root is entered and the old one left; only then are mount points made and mounts
// attached, so that a link in an image can lead nowhere but into the image.
namespace kiln::steps::helper {
namespace {

constexpr unsigned kTreeFlags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE;
constexpr unsigned long kNoExtras = MS_NOSUID | MS_NODEV | MS_NOEXEC;

void must_mount(const char* source, const char* target, const char* type, unsigned long flags,
                const char* data) {
  if (mount(source, target, type, flags, data) != 0) fail("cannot mount", target);
}

void set_attributes(int tree, uint64_t attributes, const char* name) {
  mount_attr attr{};
  attr.attr_set = attributes;
  if (attributes && mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof attr) != 0)
    fail("cannot restrict the mount", name);
}

// The source as a detached mount. What steps have written on the way to it may lead nowhere else: it is
// resolved here, at the last moment, from the folder that they could not touch.
int open_source(const Spec& spec, uint32_t i) {
  char* source = const_cast<char*>(spec.mount_paths[2 * i]);
  const uint64_t below = spec.mounts[i].below;
  if (!below) return open_tree(AT_FDCWD, source, kTreeFlags);
  source[below - 1] = 0;
  const int from = open(source, O_PATH | O_DIRECTORY | O_CLOEXEC);
  source[below - 1] = '/';
  if (from < 0) return -1;
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  const int found = static_cast<int>(syscall(SYS_openat2, from, source + below, &how, sizeof how));
  close(from);
  if (found < 0) return -1;
  const int tree = open_tree(found, "", kTreeFlags | AT_EMPTY_PATH);
  close(found);
  return tree;
}

// Where the kernel's own file systems go, the image may have nothing but a folder.
void make_plain_dir(const char* path) {
  struct stat st;
  mkdir(path, 0755);
  if (lstat(path, &st) != 0) fail("cannot make", path);
  if (S_ISDIR(st.st_mode)) return;
  errno = ENOTDIR;
  fail("the image has something else than a folder at", path);
}

// Not every file system can map owners (yet); then they stay as they are.
void map_owners(int tree, int user_namespace) {
  mount_attr attr{};
  attr.attr_set = MOUNT_ATTR_IDMAP;
  attr.userns_fd = static_cast<uint64_t>(user_namespace);
  mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof attr);
}

// Attaches a detached mount at `target`, which is made as a file or a folder when it is missing.
void attach(int tree, const char* target) {
  struct stat st;
  if (fstat(tree, &st) != 0) fail("cannot look at the source of", target);
  if (S_ISDIR(st.st_mode)) {
    if (!make_dirs(target, 0755)) fail("cannot make the mount point", target);
  } else if (struct stat there; stat(target, &there) != 0) {
    char parent[4096];
    const char* slash = strrchr(target, '/');
    if (slash && slash != target && static_cast<size_t>(slash - target) < sizeof parent) {
      memcpy(parent, target, slash - target);
      parent[slash - target] = 0;
      if (!make_dirs(parent, 0755)) fail("cannot make the mount point", target);
    }
    // A link that leads nowhere (an image's /etc/resolv.conf, often) gives way to the mount.
    if (lstat(target, &there) == 0 && S_ISLNK(there.st_mode)) unlink(target);
    const int file = open(target, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    if (file < 0) fail("cannot make the mount point", target);
    close(file);
  }
  if (move_mount(tree, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH) != 0) fail("cannot mount", target);
  close(tree);
}

// Overlay of the lowers at `target`. Folders are named by their descriptors, seen from /proc/self/fd: short
// enough for hundreds of layers in the one page that mount(2) takes, and safe for any character in a path.
void mount_overlay(const Spec& spec, const char* upper, const char* work, const char* target) {
  char options[4096] = "lowerdir=";
  size_t used = strlen(options);
  static int folders[2048];  // more than fit into `options`
  int opened = 0;
  auto add_folder = [&](const char* prefix, const char* path) {
    const int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) fail("cannot open the layer", path);
    const int n = snprintf(options + used, sizeof options - used, "%s%d", prefix, fd);
    if (used + n + 32 >= sizeof options) {
      errno = E2BIG;
      fail("too many layers for one overlay at", path);
    }
    used += n;
    folders[opened++] = fd;
  };
  for (uint32_t i = 0; i < spec.header->lowers; ++i) add_folder(i ? ":" : "", spec.lowers[i]);
  add_folder(",upperdir=", upper);
  add_folder(",workdir=", work);
  // `volatile`: an upper layer is never a place of durability, and without it unmounting syncs a whole disk.
  strcat(options, spec.has(wire::kUserNamespace) ? ",volatile,userxattr" : ",volatile");
  if (chdir("/proc/self/fd") != 0) fail("cannot enter /proc/self/fd");
  must_mount("overlay", target, "overlay", MS_NODEV, options);
  for (int i = 0; i < opened; ++i) close(folders[i]);
}

// Makes <mount point>/root the new root from the lowers; returns its path.
const char* make_overlay_root(const Spec& spec) {
  static char root[4096], upper[4096], work[4096];
  const char* place = *spec.upper ? spec.upper : spec.mount_point;
  snprintf(upper, sizeof upper, "%s/upper", place);
  snprintf(work, sizeof work, "%s/work", place);
  if (*spec.upper) {
    if (!make_dirs(upper, 0755) || !make_dirs(work, 0755)) fail("cannot make the upper layer", place);
    // What a `volatile` overlay leaves to say that it was not synced (in a "work" of its own within the work
    // folder); see mount_overlay.
    static char mark[4200];
    for (const char* name : {"incompat/volatile/dirty", "incompat/volatile", "incompat"}) {
      snprintf(mark, sizeof mark, "%s/%s/%s", work, "work", name);
      if (unlink(mark) != 0) rmdir(mark);
    }
    snprintf(root, sizeof root, "%s", spec.mount_point);
  } else {
    must_mount("tmpfs", spec.mount_point, "tmpfs", MS_NODEV, "mode=0755");
    snprintf(root, sizeof root, "%s/root", spec.mount_point);
    if (mkdir(upper, 0755) != 0 || mkdir(work, 0755) != 0 || mkdir(root, 0755) != 0)
      fail("cannot make the upper layer", place);
  }
  mount_overlay(spec, upper, work, root);
  return root;
}

// The host's root: an empty tmpfs with a read-only mount of each top-level entry, so that mount points can be
// made beside them.
struct HostEntry {
  char path[258];
  int tree;  // -1: a link to `link`
  char link[1024];
};

constexpr int kMaxHostEntries = 512;

int open_host_root(const Spec& spec, HostEntry* entries) {
  DIR* folder = opendir("/");
  if (!folder) fail("cannot read /");
  int count = 0;
  while (dirent* entry = readdir(folder)) {
    const char* name = entry->d_name;
    bool ours = false;
    for (const char* other : {".", "..", "proc", "sys", "dev", "lost+found"})
      ours = ours || strcmp(name, other) == 0;
    // What others keep in /tmp is not for a step; a trusted one may have to read there (a repository, say).
    if (strcmp(name, "tmp") == 0 && !spec.has(wire::kTrusted)) ours = true;
    // Read-only keeps nobody from talking to a daemon at its socket.
    if (strcmp(name, "run") == 0 && !spec.has(wire::kTrusted)) ours = true;
    if (ours) continue;
    if (count == kMaxHostEntries) fail("there is more in / than a step with the host's root can be shown");
    HostEntry& made = entries[count];
    snprintf(made.path, sizeof made.path, "/%s", name);
    const ssize_t n = readlink(made.path, made.link, sizeof made.link - 1);
    made.link[n < 0 ? 0 : n] = 0;
    made.tree = n >= 0 ? -1 : open_tree(AT_FDCWD, made.path, kTreeFlags);
    if (n < 0 && made.tree < 0) continue;  // not ours to see (a FUSE mount of somebody else): left out
    if (made.tree >= 0)
      set_attributes(made.tree, MOUNT_ATTR_RDONLY | (spec.has(wire::kTrusted) ? 0 : MOUNT_ATTR_NODEV),
                     made.path);
    ++count;
  }
  closedir(folder);
  return count;
}

void attach_host_root(const HostEntry* entries, int count) {
  for (int i = 0; i < count; ++i) {
    const HostEntry& entry = entries[i];
    if (entry.tree >= 0)
      attach(entry.tree, entry.path);
    else if (symlink(entry.link, entry.path) != 0)
      fail("cannot make the link", entry.path);
  }
}

// Covers a folder with an empty one, the same for all.
void mask_folder(const char* path) {
  static const char* empty = nullptr;
  const bool masked = empty ? mount(empty, path, nullptr, MS_BIND, nullptr) == 0
                            : mount("tmpfs", path, "tmpfs", kNoExtras | MS_RDONLY, "size=0,nr_inodes=1") == 0;
  if (masked && !empty) empty = path;
  if (!masked && errno != ENOENT) fail("cannot mask", path);
}

// What Docker masks and write-protects in /proc. A trusted step makes sandboxes itself, for which the kernel
// wants to see a whole /proc.
void make_proc(const Spec& spec) {
  make_plain_dir("/proc");
  must_mount("proc", "/proc", "proc", kNoExtras, nullptr);
  if (spec.has(wire::kTrusted)) return;
  // Nothing is mounted below a fresh /proc, and nobody is here yet to see a mount before it is read-only.
  for (const char* path : {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}) {
    if (mount(path, path, nullptr, MS_BIND, nullptr) != 0) {
      if (errno != ENOENT) fail("cannot protect", path);
    } else if (mount(nullptr, path, nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY | kNoExtras, nullptr) != 0) {
      fail("cannot protect", path);
    }
  }
  for (const char* path : {"/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                           "/proc/timer_stats", "/proc/sched_debug"})
    if (mount("/dev/null", path, nullptr, MS_BIND, nullptr) != 0 && errno != ENOENT)
      fail("cannot mask", path);
  for (const char* path : {"/proc/acpi", "/proc/asound", "/proc/scsi"}) mask_folder(path);
}

void make_sys(const Spec& spec, int host_sys) {
  make_plain_dir("/sys");
  if (host_sys >= 0) {
    attach(host_sys, "/sys");
  } else {
    must_mount("sysfs", "/sys", "sysfs", kNoExtras | MS_RDONLY, nullptr);
  }
  if (spec.has(wire::kTrusted)) return;
  for (const char* path : {"/sys/firmware", "/sys/devices/virtual/powercap"}) mask_folder(path);
}

// sysfs shows the network namespace it is mounted in, so only that namespace's owner may mount it; and a
// trusted step needs the host's cgroups. Otherwise -1: a fresh one will do.
int open_host_sys(const Spec& spec) {
  if (!spec.has(wire::kTrusted) && !spec.has(wire::kUserNamespace)) return -1;
  const int tree = open_tree(AT_FDCWD, "/sys", kTreeFlags);
  if (tree < 0) fail("cannot clone the mount", "/sys");
  if (!spec.has(wire::kTrusted)) set_attributes(tree, MOUNT_ATTR_RDONLY, "/sys");
  return tree;
}

void mount_tmpfs(const char* target, uint64_t size, unsigned mode) {
  char options[64];
  snprintf(options, sizeof options, "size=%llu,mode=%o",
           static_cast<unsigned long long>(size ? size : 64u << 20), mode);
  if (!make_dirs(target, 0755)) fail("cannot make the mount point", target);
  must_mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV, options);
}

// The folders above `target` that are missing, for the step's user alone.
bool make_own_dirs(const Spec& spec, const char* target) {
  char path[4096];
  const size_t length = strlen(target);
  if (length >= sizeof path) return false;
  for (size_t i = 1; i < length; ++i) {
    if (target[i] != '/') continue;
    memcpy(path, target, i);
    path[i] = 0;
    if (mkdir(path, 0700) == 0) {
      if (chown(path, spec.header->uid, spec.header->gid) != 0) return false;
    } else if (errno != EEXIST) {
      return false;
    }
  }
  return true;
}

// Mount::Kind::Copy. A read-only place (a home on the host's own root) simply stays without.
void copy_file(const Spec& spec, int source, const char* target) {
  const bool folders = make_own_dirs(spec, target);
  const int file = folders ? open(target, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600) : -1;
  if (file < 0 && errno != EEXIST && errno != EROFS) fail("cannot copy to", target);
  if (file >= 0) {
    char bytes[16 << 10];
    ssize_t n;
    while ((n = read(source, bytes, sizeof bytes)) > 0)
      for (ssize_t done = 0; done < n;) {
        const ssize_t wrote = write(file, bytes + done, n - done);
        if (wrote < 0) fail("cannot copy to", target);
        done += wrote;
      }
    if (n < 0 || fchown(file, spec.header->uid, spec.header->gid) != 0) fail("cannot copy to", target);
    close(file);
  }
  close(source);
}

}  // namespace

void enter_root(const Spec& spec) {
  const uint32_t mounts = spec.header->mounts;
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) fail("cannot make mounts private");

  auto* trees = static_cast<int*>(malloc((mounts + 1) * sizeof(int)));
  if (!trees) fail("cannot allocate memory");
  for (uint32_t i = 0; i < mounts; ++i) {
    trees[i] = -1;
    if (spec.mounts[i].kind == wire::MountKind::Tmpfs) continue;
    const char* source = spec.mount_paths[2 * i];
    if (spec.mounts[i].kind == wire::MountKind::Copy) {
      trees[i] = open(source, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
      if (trees[i] < 0) fail("cannot open", source);
      continue;
    }
    trees[i] = open_source(spec, i);
    if (trees[i] < 0) fail("cannot open the mount's source", source);
    set_attributes(trees[i],
                   (spec.has(wire::kTrusted) ? 0 : MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID) |
                       (spec.mounts[i].read_only ? MOUNT_ATTR_RDONLY : 0),
                   source);
    if (spec.mounts[i].idmap_fd >= 0) map_owners(trees[i], spec.mounts[i].idmap_fd);
  }
  int host_devices[kDevices] = {-1, -1, -1, -1, -1, -1};
  if (spec.has(wire::kUserNamespace)) open_host_devices(host_devices);
  const int host_sys = open_host_sys(spec);

  const char* root = spec.mount_point;
  static HostEntry entries[kMaxHostEntries];
  int host_entries = 0;
  if (spec.has(wire::kHostRoot)) {
    host_entries = open_host_root(spec, entries);
    must_mount("tmpfs", root, "tmpfs", MS_NODEV, "mode=0755");
  } else {
    root = make_overlay_root(spec);
  }

  if (chdir(root) != 0) fail("cannot enter the new root");
  if (syscall(SYS_pivot_root, ".", ".") != 0) fail("cannot pivot to the new root");
  // From here on absolute paths are the new root's; the old one lies over it at ".".
  if (spec.has(wire::kHostRoot)) attach_host_root(entries, host_entries);
  make_plain_dir("/dev");
  make_dev(spec, host_devices);
  make_proc(spec);
  make_sys(spec, host_sys);
  // Before anything is made at a path that an image or a volume may have a say in: as long as the old root
  // lies on the new one, ".." at the top leads into it. Only a new /proc and /sys want to see the old ones.
  if (umount2(".", MNT_DETACH) != 0) fail("cannot leave the host's root");
  if (chdir("/") != 0) fail("cannot enter the new root");
  if (spec.has(wire::kHostRoot) && !spec.has(wire::kTrusted)) {
    mount_tmpfs("/tmp", 0, 01777);
    mount_tmpfs("/run", 0, 0755);
  }
  for (uint32_t i = 0; i < mounts; ++i) {
    const char* target = spec.mount_paths[2 * i + 1];
    if (spec.mounts[i].kind == wire::MountKind::Copy)
      copy_file(spec, trees[i], target);
    else if (trees[i] >= 0)
      attach(trees[i], target);
    else
      mount_tmpfs(target, spec.mounts[i].size, spec.mounts[i].mode);
  }
  free(trees);
  if (spec.has(wire::kMakeCwd)) {
    struct stat st;
    if (stat(spec.cwd, &st) != 0 && make_dirs(spec.cwd, 0755) &&
        chown(spec.cwd, spec.header->uid, spec.header->gid) != 0)
      fail("cannot hand over the working directory", spec.cwd);
  }
  if (spec.has(wire::kReadOnlyRoot) || (spec.has(wire::kHostRoot) && !spec.has(wire::kTrusted))) {
    mount_attr attr{};
    attr.attr_set = MOUNT_ATTR_RDONLY;
    if (mount_setattr(AT_FDCWD, "/", 0, &attr, sizeof attr) != 0) fail("cannot make the root read-only");
  }
}

}  // namespace kiln::steps::helper
