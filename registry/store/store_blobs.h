#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <sys/stat.h>
#include <tuple>

#include "base/digest.h"
#include "base/fs.h"

// Inside of registry/store/store.cc: the files below blobs/. Who makes one visible, relies on one, or
// protects one from being removed holds the sweep lock shared; who takes one away (collect.h, quarantine)
// holds it alone.
namespace kiln::registry::detail {

inline constexpr const char* kNamesLock = ".lock";
inline constexpr const char* kSweepLock = ".sweep.lock";

// What makes a file the same file unchanged: device, inode, size, mtime, ctime.
using FileStamp = std::tuple<dev_t, ino_t, off_t, int64_t, int64_t>;
FileStamp stamp_of(const struct stat& st);

// A blob that is kept again within this time is not renewed: what relies on a blob's age allows for it.
inline constexpr auto kKeepAgainAfter = std::chrono::minutes(10);

// On `root`/`file` where that is, as in a Store of Kiln's own; else on the folder.
FileLock lock_in(const fs::path& root, const char* file, const fs::path& folder, FileLock::Mode mode);
FileLock lock_sweep(const fs::path& root, FileLock::Mode mode);
// Says "someone is at it" until this process ends, however it ends. Throws where the file system has no
// locks: what is not locked counts as a dead process's.
void lock_for_life(int fd, const fs::path& path);

// The whole file, from its beginning, into the hasher. Throws Infrastructure.
void hash_file(int fd, Hasher& hasher);
// The content's digest, from the file's beginning. Throws Infrastructure.
Digest digest_of_file(int fd, std::string_view algorithm);

// The blobs below one root, and which of them have been found to be what their names say: by this process,
// or, as an attribute of a large blob's file tells, by an earlier one. Thread-safe.
class BlobFiles {
 public:
  BlobFiles(fs::path root, bool keeps_damaged) : root_(std::move(root)), keeps_damaged_(keeps_damaged) {}

  const fs::path& root() const { return root_; }
  fs::path path(const Digest& digest) const;
  // There, and its bytes are those of its name; read only when the file is not known to be good. A damaged
  // one goes to quarantine/ (or, where none is kept, away), so that it counts as missing from then on.
  bool heal(const Digest& digest, bool read_anew = false);
  // There? Renews its time (at most every ten minutes), which protects it from collect() as if just written.
  bool keep(const Digest& digest);
  // Moves the file that was seen to be damaged to quarantine/. False when another one stands there by now.
  bool quarantine(const Digest& digest, const struct stat& seen);
  // The file open as `fd` is that blob.
  void note_good(const Digest& digest, int fd);
  void forget(const Digest& digest);
  // A blob came into this folder; the next sync_folders() brings its entry to disk. That is to be called by
  // one thread at a time (the one that writes index.json): another's is not waited for.
  void note_new_in(const fs::path& folder);
  void sync_folders();

 private:
  bool is_known(const Digest& digest, int fd, const struct stat& st);

  const fs::path root_;
  const bool keeps_damaged_;
  std::mutex mutex_;
  std::map<Digest, FileStamp> good_;
  std::set<fs::path> changed_folders_;
};

}  // namespace kiln::registry::detail
