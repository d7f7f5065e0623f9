#include "registry/store/store_blobs.h"

#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/error.h"
#include "base/failpoint.h"

namespace kiln::registry::detail {
FileStamp stamp_of(const struct stat& st) {
  const auto ns = [](const timespec& t) { return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec; };
  return {st.st_dev, st.st_ino, st.st_size, ns(st.st_mtim), ns(st.st_ctim)};
}

namespace {

constexpr const char* kVerified = "user.kiln.verified";
constexpr off_t kWorthAttribute = 1 << 20;  // bytes; what is smaller is read faster than noted

// The inode, size and time of the file that was read: a copy, or one that was written to, is another. Not the
// ctime, which the attribute itself changes.
std::string verified_text(const struct stat& st) {
  return std::to_string(st.st_ino) + " " + std::to_string(st.st_size) + " " +
         std::to_string(st.st_mtim.tv_sec) + "." + std::to_string(st.st_mtim.tv_nsec);
}

}  // namespace

FileLock lock_in(const fs::path& root, const char* file, const fs::path& folder, FileLock::Mode mode) {
  return FileLock(::access((root / file).c_str(), F_OK) == 0 ? root / file : folder, mode);
}

FileLock lock_sweep(const fs::path& root, FileLock::Mode mode) {
  return lock_in(root, kSweepLock, root / "blobs", mode);
}

void lock_for_life(int fd, const fs::path& path) {
  while (::flock(fd, LOCK_EX) != 0)
    if (errno != EINTR) throw_errno("cannot lock " + path.string());
}

void hash_file(int fd, Hasher& hasher) {
  std::string buffer(1u << 20, '\0');
  for (off_t offset = 0;;) {
    const ssize_t n = ::pread(fd, buffer.data(), buffer.size(), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_errno("cannot read from the image store");
    if (n == 0) return;
    hasher.update({buffer.data(), static_cast<size_t>(n)});
    offset += n;
  }
}

Digest digest_of_file(int fd, std::string_view algorithm) {
  Hasher hasher(algorithm);
  hash_file(fd, hasher);
  return hasher.finish();
}

fs::path BlobFiles::path(const Digest& digest) const {
  return root_ / "blobs" / digest.algorithm() / digest.encoded();
}

bool BlobFiles::heal(const Digest& digest, bool read_anew) {
  for (;;) {
    const UniqueFd fd(::open(path(digest).c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd && errno == ENOENT) return false;
    struct stat st;
    if (!fd || ::fstat(fd.get(), &st) != 0) throw_errno("cannot read " + path(digest).string());
    if (!read_anew && is_known(digest, fd.get(), st)) return true;
    if (digest_of_file(fd.get(), digest.algorithm()) == digest) {
      struct stat after;
      if (::fstat(fd.get(), &after) == 0 && stamp_of(after) == stamp_of(st)) note_good(digest, fd.get());
      return true;
    }
    if (quarantine(digest, st)) return false;
  }
}

bool BlobFiles::keep(const Digest& digest) {
  const FileLock lock = lock_sweep(root_, FileLock::Mode::Shared);
  const UniqueFd fd(::open(path(digest).c_str(), O_RDONLY | O_CLOEXEC));
  struct stat st;
  if (!fd || ::fstat(fd.get(), &st) != 0 || !S_ISREG(st.st_mode)) return false;
  if (::time(nullptr) - st.st_mtime < std::chrono::seconds(kKeepAgainAfter).count()) return true;
  const timespec times[2] = {{0, UTIME_OMIT}, {0, UTIME_NOW}};
  const bool known = is_known(digest, fd.get(), st);
  // A store that cannot be written to is not collected by this user, either.
  if (::futimens(fd.get(), times) == 0 && known) note_good(digest, fd.get());
  return true;
}

bool BlobFiles::quarantine(const Digest& digest, const struct stat& seen) {
  const FileLock lock = lock_sweep(root_, FileLock::Mode::Exclusive);
  struct stat st;
  if (::stat(path(digest).c_str(), &st) != 0) return true;
  if (st.st_dev != seen.st_dev || st.st_ino != seen.st_ino) return false;
  const fs::path folder = root_ / "quarantine" / digest.algorithm();
  if (keeps_damaged_) make_dirs(folder);
  if ((keeps_damaged_ ? ::rename(path(digest).c_str(), (folder / digest.encoded()).c_str())
                      : ::unlink(path(digest).c_str())) != 0)
    throw_errno("cannot put the damaged " + path(digest).string() + " aside");
  forget(digest);
  return true;
}

void BlobFiles::forget(const Digest& digest) {
  std::lock_guard lock(mutex_);
  good_.erase(digest);
}

void BlobFiles::note_new_in(const fs::path& folder) {
  std::lock_guard lock(mutex_);
  changed_folders_.insert(folder);
}

void BlobFiles::sync_folders() {
  std::set<fs::path> folders;
  {
    std::lock_guard lock(mutex_);
    folders.swap(changed_folders_);  // what comes while this one syncs is noted for the next
  }
  try {
    for (const fs::path& folder : folders) fsync_dir(folder);
  } catch (...) {
    std::lock_guard lock(mutex_);
    changed_folders_.merge(folders);
    throw;
  }
}

bool BlobFiles::is_known(const Digest& digest, int fd, const struct stat& st) {
  {
    std::lock_guard lock(mutex_);
    const auto it = good_.find(digest);
    if (it != good_.end() && it->second == stamp_of(st)) return true;
  }
  if (st.st_size < kWorthAttribute) return false;
  char text[128];
  const ssize_t size = ::fgetxattr(fd, kVerified, text, sizeof text);
  return size > 0 && std::string_view(text, static_cast<size_t>(size)) == verified_text(st);
}

void BlobFiles::note_good(const Digest& digest, int fd) {
  struct stat st;
  if (::fstat(fd, &st) != 0) return;
  if (st.st_size >= kWorthAttribute) {
    const std::string text = verified_text(st);
    // File systems without attributes, and stores that cannot be written to, are read once a process.
    if (::fsetxattr(fd, kVerified, text.data(), text.size(), 0) == 0 && ::fstat(fd, &st) != 0) return;
  }
  std::lock_guard lock(mutex_);
  good_.insert_or_assign(digest, stamp_of(st));
}

}  // namespace kiln::registry::detail
