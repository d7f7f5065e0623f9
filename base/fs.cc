#include "base/fs.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/file_replacement.h"

namespace kiln {

UniqueFd open_file(const fs::path& path, int flags, mode_t mode) {
  int fd;
  do fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  while (fd < 0 && errno == EINTR);
  if (fd < 0) throw_errno("cannot open " + path.string());
  return UniqueFd(fd);
}

static void append_all(std::string& content, int fd, uint64_t limit, std::string_view name) {
  char buffer[64 << 10];
  for (;;) {
    const ssize_t n = ::read(fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_errno("cannot read " + std::string(name));
    if (n == 0) return;
    if (content.size() + static_cast<size_t>(n) > limit)
      throw Error(ErrorKind::Invalid,
                  std::string(name) + " is larger than " + std::to_string(limit) + " bytes");
    content.append(buffer, static_cast<size_t>(n));
  }
}

std::string read_file(const fs::path& path, uint64_t limit) {
  UniqueFd fd = open_file(path, O_RDONLY);
  std::string content;
  struct stat st;
  if (::fstat(fd.get(), &st) == 0 && st.st_size > 0)
    content.reserve(std::min<uint64_t>(st.st_size, limit) + 1);
  append_all(content, fd.get(), limit, path.native());
  return content;
}

std::string read_all(int fd, uint64_t limit, std::string_view name) {
  std::string content;
  append_all(content, fd, limit, name);
  return content;
}

void write_all(int fd, std::string_view content, std::string_view name) {
  while (!content.empty()) {
    ssize_t n = ::write(fd, content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_errno(name);
    content.remove_prefix(n);
  }
}

void write_all_at(int fd, std::string_view content, off_t offset, std::string_view name) {
  while (!content.empty()) {
    ssize_t n = ::pwrite(fd, content.data(), content.size(), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_errno(name);
    content.remove_prefix(n);
    offset += n;
  }
}

void write_file(const fs::path& path, std::string_view content, mode_t mode) {
  UniqueFd fd = open_file(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
  write_all(fd.get(), content, "cannot write " + path.string());
}

FileReplacement::FileReplacement(fs::path path, std::string_view content, mode_t mode)
    : path_(std::move(path)) {
  static std::atomic<unsigned> serial{0};
  fs::path temporary = path_;
  temporary += ".tmp-" + std::to_string(::getpid()) + "-" + std::to_string(serial++);
  OnExit cleanup([&] { ::unlink(temporary.c_str()); });
  UniqueFd fd = open_file(temporary, O_WRONLY | O_CREAT | O_EXCL, mode);
  write_all(fd.get(), content, "cannot write " + path_.string());
  if (::fsync(fd.get()) != 0) throw_errno("cannot write " + path_.string());
  cleanup.dismiss();
  temporary_ = std::move(temporary);
}

FileReplacement::~FileReplacement() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void FileReplacement::publish() {
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) throw_errno("cannot write " + path_.string());
  temporary_.clear();
  fsync_dir(path_.has_parent_path() ? path_.parent_path() : ".");
}

void write_file_atomic(const fs::path& path, std::string_view content, mode_t mode) {
  FileReplacement(path, content, mode).publish();
}

bool is_within(const fs::path& path, const fs::path& folder) {
  return std::mismatch(folder.begin(), folder.end(), path.begin(), path.end()).first == folder.end();
}

void make_dirs(const fs::path& path, mode_t mode) {
  if (::mkdir(path.c_str(), mode) == 0) return;
  if (errno == EEXIST) {
    struct stat st;
    if (::stat(path.c_str(), &st) == 0 && S_ISDIR(st.st_mode)) return;
    throw_errno(ENOTDIR, "cannot make folder " + path.string());
  }
  if (errno == ENOENT && path.has_parent_path() && path.parent_path() != path) {
    make_dirs(path.parent_path(), mode);
    if (::mkdir(path.c_str(), mode) == 0 || errno == EEXIST) return;
  }
  throw_errno("cannot make folder " + path.string());
}

void fsync_dir(const fs::path& path) {
  UniqueFd fd = open_file(path, O_RDONLY | O_DIRECTORY);
  if (::fsync(fd.get()) != 0) throw_errno("cannot sync folder " + path.string());
}

// TMPDIR as it is, or /tmp: one that cannot be used is named by the error of who uses it.
static fs::path temporary_folder() {
  const char* named = std::getenv("TMPDIR");
  return named && *named ? named : "/tmp";
}

TempDir::TempDir(const fs::path& parent) {
  std::string pattern = (parent.empty() ? temporary_folder() : parent) / "kiln-XXXXXX";
  if (!::mkdtemp(pattern.data())) throw_errno("cannot make a temporary folder " + pattern);
  path_ = pattern;
}

TempDir& TempDir::operator=(TempDir&& other) noexcept {
  std::swap(path_, other.path_);
  return *this;
}

TempDir::~TempDir() {
  try_remove_tree(path_);
}

FileLock::FileLock(const fs::path& path, Mode mode)
    : fd_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {
  // A folder is locked as well as a file, and so is what cannot be written to.
  if (!fd_ && (errno == EISDIR || errno == EROFS || errno == EACCES))
    fd_ = UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd_) throw_errno("cannot open " + path.string());
  while (::flock(fd_.get(), mode == Mode::Shared ? LOCK_SH : LOCK_EX) != 0) {
    if (errno == EINTR) continue;
    // A network's file system may not lock what is open for reading only.
    if (errno != EBADF) throw_errno("cannot lock " + path.string());
    if (mode == Mode::Shared) return;
    throw Error(ErrorKind::Infrastructure, "cannot lock " + path.string() + ", which is not writable",
                "its file system locks only what can be written to: make it writable");
  }
}

}  // namespace kiln
