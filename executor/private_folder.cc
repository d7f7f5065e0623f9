#include "executor/private_folder.h"

#include <cerrno>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"

namespace kiln::executor {
namespace {

bool in_memory(const fs::path& path) {
  struct statfs of;
  return ::statfs(path.c_str(), &of) == 0 && of.f_type == TMPFS_MAGIC;
}

// Made for us, or ours already: where everybody may make folders somebody else may have made it first.
bool make_own(const fs::path& path) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return false;
  struct stat st;
  return ::lstat(path.c_str(), &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == ::geteuid() &&
         (st.st_mode & 0077) == 0;
}

fs::path place(const Dirs& dirs) {
  const fs::path above = dirs.runtime.parent_path();
  if (in_memory(above) && make_own(dirs.runtime) && make_own(dirs.runtime / "private"))
    return dirs.runtime / "private";
  const fs::path shared = "/dev/shm";
  const fs::path own = shared / ("kiln-" + std::to_string(::geteuid()));
  if (in_memory(shared) && make_own(own)) return own;
  return {};
}

// What a folder in memory says about itself: the folder that it was made for.
constexpr const char* kFor = "for";
constexpr std::string_view kShell = "shell-";  // of a run's folder: a shell's own, which goes with it

// The lock of a folder: its own, so that nothing else need be there. Invalid when another holds it, or when
// it is gone.
UniqueFd try_lock(const fs::path& folder) {
  UniqueFd lock(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!lock || ::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) return {};
  struct stat held, there;
  const bool same = ::fstat(lock.get(), &held) == 0 && ::lstat(folder.c_str(), &there) == 0 &&
                    held.st_ino == there.st_ino && held.st_dev == there.st_dev;
  return same ? std::move(lock) : UniqueFd();
}

// A folder whose kiln died. The mark may be gone: what died did so while it removed the folder.
void remove_lost(const fs::path& folder) {
  std::error_code none;
  const fs::path owner = fs::read_symlink(folder / kFor, none);
  if (!none && owner.filename().native().starts_with(kShell)) {
    remove_private_folder(owner);
    remove_tree(owner);
  }
  remove_tree(folder);
}

void sweep(const fs::path& base) {
  std::error_code problem;
  for (const auto& entry : fs::directory_iterator(base, problem)) {
    if (const UniqueFd lock = try_lock(entry.path())) {
      try {
        remove_lost(entry.path());
      } catch (const Error&) {  // the next one tries again
      }
    }
  }
}

// Made and locked; a sweep of another kiln may come between.
UniqueFd make_locked(const fs::path& folder) {
  constexpr int kAttempts = 100;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    make_dirs(folder, 0700);
    if (UniqueFd lock = try_lock(folder)) return lock;
  }
  throw Error(ErrorKind::Infrastructure, "cannot lock " + folder.string(), "does another kiln run this run?");
}

}  // namespace

PrivateFolder::PrivateFolder(const Dirs& dirs, const fs::path& run, std::string_view uid)
    : path_(run / "private") {
  const fs::path base = place(dirs);
  if (base.empty()) return;
  sweep(base);
  const fs::path folder = base / uid;
  std::error_code problem;
  fs::create_symlink(folder, path_, problem);
  if (problem) return;
  lock_ = make_locked(folder);
  fs::create_symlink(fs::absolute(run), folder / kFor, problem);
  path_ = folder;
}

void remove_private_folder(const fs::path& run) {
  const fs::path link = run / "private";
  std::error_code none;
  if (const fs::path folder = fs::read_symlink(link, none); !none) remove_tree(folder);
  remove_tree(link);
}

}  // namespace kiln::executor
