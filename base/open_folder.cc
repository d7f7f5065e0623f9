#include "base/open_folder.h"

#include <algorithm>
#include <cerrno>
#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"

namespace kiln {
namespace {

constexpr int kFolderFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

[[noreturn]] void refuse(const fs::path& path, const std::string& what) {
  throw Error(ErrorKind::Failed, path.string() + " " + what,
              "whatever wrote this folder must not leave that behind");
}

// Errors of openat(2) that say "something else is here".
bool is_other_kind(int error) {
  return error == ELOOP || error == ENOTDIR || error == ENXIO;
}

}  // namespace

OpenFolder::OpenFolder(fs::path path) : path_(std::move(path)) {
  fd_ = UniqueFd(::open(path_.c_str(), kFolderFlags));
  if (fd_.get() < 0 && is_other_kind(errno)) refuse(path_, "is not a folder");
  if (fd_.get() < 0) throw_errno("cannot open " + path_.string());
}

std::vector<std::string> OpenFolder::names() const {
  // A description of its own, so that listing leaves no position behind.
  UniqueFd fd(::openat(fd_.get(), ".", kFolderFlags));
  if (fd.get() < 0) throw_errno("cannot read folder " + path_.string());
  DIR* dir = ::fdopendir(fd.get());
  if (!dir) throw_errno("cannot read folder " + path_.string());
  fd.release();
  const OnExit close([&] { ::closedir(dir); });
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(dir);
    if (!entry && errno != 0) throw_errno("cannot read folder " + path_.string());
    if (!entry) break;
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  std::ranges::sort(names);
  return names;
}

std::optional<struct stat> OpenFolder::stat(const std::string& name) const {
  struct stat st;
  if (::fstatat(fd_.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0) return st;
  if (errno == ENOENT) return std::nullopt;
  throw_errno("cannot read " + (path_ / name).string());
}

struct stat OpenFolder::stat() const {
  struct stat st;
  if (::fstat(fd_.get(), &st) != 0) throw_errno("cannot read " + path_.string());
  return st;
}

std::optional<OpenFolder> OpenFolder::find_folder(const std::string& name) const {
  UniqueFd fd(::openat(fd_.get(), name.c_str(), kFolderFlags));
  if (fd.get() >= 0) return OpenFolder(std::move(fd), path_ / name);
  if (errno == ENOENT || is_other_kind(errno)) return std::nullopt;
  throw_errno("cannot open " + (path_ / name).string());
}

OpenFolder OpenFolder::folder(const std::string& name) const {
  auto found = find_folder(name);
  if (!found) refuse(path_ / name, "changed while it was read");
  return std::move(*found);
}

UniqueFd OpenFolder::open_file(const std::string& name, struct stat& status) const {
  // O_NONBLOCK: opening a pipe must not wait for its other end.
  UniqueFd fd(::openat(fd_.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (fd.get() < 0 && is_other_kind(errno)) refuse(path_ / name, "is not a regular file");
  if (fd.get() < 0) throw_errno("cannot open " + (path_ / name).string());
  if (::fstat(fd.get(), &status) != 0) throw_errno("cannot read " + (path_ / name).string());
  if (!S_ISREG(status.st_mode)) refuse(path_ / name, "is not a regular file");
  return fd;
}

std::optional<std::string> OpenFolder::read(const std::string& name, uint64_t limit) const {
  if (!stat(name)) return std::nullopt;
  struct stat status;
  const UniqueFd fd = open_file(name, status);
  try {
    return read_all(fd.get(), limit, (path_ / name).native());
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::Invalid) throw;
    refuse(path_ / name, "is larger than " + std::to_string(limit) + " bytes");
  }
}

std::string OpenFolder::read_link(const std::string& name) const {
  std::string target(256, '\0');
  for (;;) {
    const ssize_t n = ::readlinkat(fd_.get(), name.c_str(), target.data(), target.size());
    if (n < 0 && errno == EINVAL) refuse(path_ / name, "changed while it was read");
    if (n < 0) throw_errno("cannot read link " + (path_ / name).string());
    if (static_cast<size_t>(n) < target.size()) {
      target.resize(static_cast<size_t>(n));
      return target;
    }
    target.resize(target.size() * 2);  // it may have been cut
  }
}

void OpenFolder::write(const std::string& name, std::string_view content) const {
  write_all(create_file(name, 0644).get(), content, "cannot write " + (path_ / name).string());
}

UniqueFd OpenFolder::create_file(const std::string& name, mode_t mode) const {
  remove(name);
  UniqueFd fd(::openat(fd_.get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (fd.get() < 0) throw_errno("cannot write " + (path_ / name).string());
  const struct stat owner = stat();
  if (::geteuid() == 0 && ::fchown(fd.get(), owner.st_uid, owner.st_gid) != 0)
    throw_errno("cannot own " + (path_ / name).string());
  if (::fchmod(fd.get(), mode) != 0) throw_errno("cannot write " + (path_ / name).string());
  return fd;
}

void OpenFolder::make_link(const std::string& name, const std::string& target) const {
  remove(name);
  if (::symlinkat(target.c_str(), fd_.get(), name.c_str()) != 0)
    throw_errno("cannot make link " + (path_ / name).string());
  const struct stat owner = stat();
  if (::geteuid() == 0 &&
      ::fchownat(fd_.get(), name.c_str(), owner.st_uid, owner.st_gid, AT_SYMLINK_NOFOLLOW) != 0)
    throw_errno("cannot own " + (path_ / name).string());
}

void OpenFolder::remove(const std::string& name) const {
  // Through the descriptor's own name, so that a folder that was moved or exchanged leads nowhere else.
  remove_tree("/proc/self/fd/" + std::to_string(fd_.get()) + "/" + name);
}

OpenFolder OpenFolder::make_folder(const std::string& name) const {
  if (auto found = find_folder(name)) return std::move(*found);
  remove(name);
  if (::mkdirat(fd_.get(), name.c_str(), 0755) != 0)
    throw_errno("cannot make folder " + (path_ / name).string());
  OpenFolder made = folder(name);
  const struct stat owner = stat();
  if (::geteuid() == 0 && ::fchown(made.fd_.get(), owner.st_uid, owner.st_gid) != 0)
    throw_errno("cannot own " + (path_ / name).string());
  return made;
}

void OpenFolder::set_mode(mode_t mode) const {
  if (::fchmod(fd_.get(), mode) != 0) throw_errno("cannot change the mode of " + path_.string());
}

void OpenFolder::check_depth(int depth) const {
  if (depth > kMaxDepth) refuse(path_, "nests more than " + std::to_string(kMaxDepth) + " folders");
}

UniqueFd open_resolved(int folder, const std::string& path, int flags, uint64_t resolve) {
  open_how how{};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC);
  how.resolve = resolve;
  for (;;) {
    UniqueFd found(static_cast<int>(
        ::syscall(SYS_openat2, folder, path.empty() ? "." : path.c_str(), &how, sizeof how)));
    if (found || (errno != EAGAIN && errno != EINTR)) return found;
  }
}

UniqueFd open_beneath(const fs::path& folder, const fs::path& below, int flags) {
  UniqueFd found = open_resolved(open_file(folder, O_PATH | O_DIRECTORY).get(), below.native(), flags,
                                 RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
  if (found) return found;
  if (errno == EXDEV || errno == ELOOP)
    throw Error(ErrorKind::Invalid, below.string() + " leads out of " + folder.string(),
                "remove the link that is on the way");
  if (errno == ENOENT || errno == ENOTDIR)
    throw Error(ErrorKind::NotFound, (folder / below).string() + " is not there");
  throw_errno("cannot open " + (folder / below).string());
}

}  // namespace kiln
