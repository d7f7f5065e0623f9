#include "base/named_lock.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/fs.h"

namespace kiln {
namespace {

bool is_named(int fd, const fs::path& path) {
  struct stat held, there;
  if (::fstat(fd, &held) != 0) throw_errno("cannot lock " + path.string());
  return ::lstat(path.c_str(), &there) == 0 && held.st_dev == there.st_dev && held.st_ino == there.st_ino;
}

}  // namespace

UniqueFd lock_named(const fs::path& path, int flags, mode_t mode, Wait wait) {
  for (;;) {
    UniqueFd fd = open_file(path, flags | O_NOFOLLOW, mode);
    while (::flock(fd.get(), wait == Wait::Yes ? LOCK_EX : LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK) return {};
      if (errno != EINTR) throw_errno("cannot lock " + path.string());
    }
    if (is_named(fd.get(), path)) return fd;
  }
}

}  // namespace kiln
