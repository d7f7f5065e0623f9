#include "executor/private_folder.h"

#include <linux/magic.h>
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

}  // namespace

fs::path private_folder(const Dirs& dirs, const fs::path& run, std::string_view uid) {
  const fs::path link = run / "private";
  const fs::path base = place(dirs);
  if (base.empty()) return link;
  const fs::path folder = base / uid;
  std::error_code problem;
  fs::create_symlink(folder, link, problem);
  return problem ? link : folder;
}

void remove_private_folder(const fs::path& run) {
  const fs::path link = run / "private";
  std::error_code none;
  if (const fs::path folder = fs::read_symlink(link, none); !none) remove_tree(folder);
  remove_tree(link);
}

}  // namespace kiln::executor
