#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <sys/types.h>

#include "base/unique_fd.h"

// Files, with errors that name the path. Everything here throws kiln::Error (NotFound for ENOENT,
// Infrastructure otherwise) and is safe to call from any thread.
namespace kiln {

namespace fs = std::filesystem;

// O_CLOEXEC is always added.
UniqueFd open_file(const fs::path& path, int flags, mode_t mode = 0644);

// Whole file. `limit` bounds what a stranger can make us read; exceeding it is Invalid.
std::string read_file(const fs::path& path, uint64_t limit = 256u << 20);

// What can still be read from an open file or pipe; `name` is for the errors.
std::string read_all(int fd, uint64_t limit, std::string_view name);

// Plain write, no durability.
void write_file(const fs::path& path, std::string_view content, mode_t mode = 0644);

// Crash-safe replace: temporary file beside it, fsync, rename, fsync of the folder.
void write_file_atomic(const fs::path& path, std::string_view content, mode_t mode = 0644);

// write(2) until all is written.
void write_all(int fd, std::string_view content, std::string_view name = "write");
void write_all_at(int fd, std::string_view content, off_t offset, std::string_view name = "write");

void make_dirs(const fs::path& path, mode_t mode = 0755);
void fsync_dir(const fs::path& path);

// Whether `path` is `folder` or below it, by their names alone: both normal, without a slash at the end.
bool is_within(const fs::path& path, const fs::path& folder);

// rm -rf that never follows a link, copes with unwritable folders, vanished entries and any depth.
void remove_tree(const fs::path& path);
// The same where nobody can be told that it failed: in a destructor, or while another error is under way.
// Whether all of it is gone.
bool try_remove_tree(const fs::path& path) noexcept;

// A fresh private folder (0700), removed at destruction with all it holds, as far as that can be removed.
class TempDir {
 public:
  // Below `parent`, or the system's temporary folder.
  explicit TempDir(const fs::path& parent = {});
  TempDir(TempDir&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  TempDir& operator=(TempDir&& other) noexcept;
  ~TempDir();
  const fs::path& path() const { return path_; }
  fs::path release() { return std::exchange(path_, {}); }

 private:
  fs::path path_;
};

// An advisory exclusive (or shared) flock on a folder or a file (created if needed), held until destruction.
// A shared one only where the file system has such locks for what we may not write to: on a network's there
// may be none, and then nothing is held.
class FileLock {
 public:
  enum class Mode { Shared, Exclusive };
  explicit FileLock(const fs::path& path, Mode mode = Mode::Exclusive);

 private:
  UniqueFd fd_;
};

// Calls the function at scope exit. For undoing; the function must not throw.
class OnExit {
 public:
  explicit OnExit(std::function<void()> undo) : undo_(std::move(undo)) {}
  OnExit(const OnExit&) = delete;
  OnExit& operator=(const OnExit&) = delete;
  ~OnExit() {
    if (undo_) undo_();
  }
  void dismiss() { undo_ = nullptr; }

 private:
  std::function<void()> undo_;
};

}  // namespace kiln
