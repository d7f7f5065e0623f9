#include <algorithm>
#include <cerrno>
#include <dirent.h>
#include <fcntl.h>
#include <memory>
#include <sys/stat.h>
#include <vector>

#include "base/error.h"
#include "base/fs.h"

namespace kiln {
namespace {

int open_folder_at(int parent, const char* name) {
  return ::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

// Opens a folder, if need be by making it ours to enter. Nothing, with errno, when it cannot be.
UniqueFd open_closed_folder_at(int parent, const char* name) {
  UniqueFd fd(open_folder_at(parent, name));
  if (fd || errno != EACCES) return fd;
  // What was a folder a moment ago may be a link by now, whose target keeps its mode.
  if (::fchmodat(parent, name, 0700, AT_SYMLINK_NOFOLLOW) != 0) return {};
  return UniqueFd(open_folder_at(parent, name));
}

// unlinkat(2), if need be by making the folder above writable. What is gone already is a success.
bool unlink_at(int parent, const char* name, int flags) {
  if (::unlinkat(parent, name, flags) == 0 || errno == ENOENT) return true;
  if (errno != EACCES || ::fchmod(parent, 0700) != 0) return false;
  return ::unlinkat(parent, name, flags) == 0 || errno == ENOENT;
}

struct CloseDir {
  void operator()(DIR* dir) const { ::closedir(dir); }
};
using Listing = std::unique_ptr<DIR, CloseDir>;

// Empties a folder, going down and up in it by one step at a time. A stranger decides how deep it is, so only
// the last few folders of the way are held open, and those above are found again through "..".
class FolderRemoval {
 public:
  FolderRemoval(UniqueFd top, const fs::path& name) : name_(name) { enter(std::move(top), {}); }

  void run() {
    for (;;) {
      if (const dirent* entry = next()) {
        remove_or_enter(*entry);
      } else if (way_.size() > 1) {
        leave();
      } else {
        return;
      }
    }
  }

 private:
  static constexpr size_t kOpen = 64;
  struct Level {
    std::string name;  // in the folder above
    Listing listing;   // none while many folders below are open
    dev_t device;
    ino_t inode;
  };

  [[noreturn]] void fail(const std::string& name) const {
    const int error = errno;
    fs::path path = name_;
    for (size_t i = 1; i < std::min(way_.size(), kOpen); ++i) path /= way_[i].name;
    if (way_.size() > kOpen) path /= "…";
    throw_errno(error, "cannot remove " + (path / name).string());
  }

  int current() const { return ::dirfd(way_.back().listing.get()); }

  void open_listing(Level& level, UniqueFd fd) const {
    level.listing.reset(::fdopendir(fd.get()));
    if (!level.listing) fail({});
    fd.release();
  }

  void enter(UniqueFd fd, std::string name) {
    struct stat st;
    if (::fstat(fd.get(), &st) != 0) fail(name);
    Level level{std::move(name), {}, st.st_dev, st.st_ino};
    open_listing(level, std::move(fd));
    way_.push_back(std::move(level));
    if (way_.size() > kOpen) way_[way_.size() - 1 - kOpen].listing.reset();
  }

  const dirent* next() {
    for (;;) {
      errno = 0;
      const dirent* entry = ::readdir(way_.back().listing.get());
      if (!entry && errno != 0) fail({});
      if (!entry || (std::string_view(entry->d_name) != "." && std::string_view(entry->d_name) != ".."))
        return entry;
    }
  }

  void remove_or_enter(const dirent& entry) {
    if (entry.d_type != DT_DIR) {
      if (unlink_at(current(), entry.d_name, 0)) return;
      if (errno != EISDIR) fail(entry.d_name);
    }
    if (::unlinkat(current(), entry.d_name, AT_REMOVEDIR) == 0 || errno == ENOENT) return;
    UniqueFd child = open_closed_folder_at(current(), entry.d_name);
    if (child)
      enter(std::move(child), entry.d_name);
    else if (errno != ENOENT)
      fail(entry.d_name);
  }

  // Back to the folder above, and the end of the one that is empty now.
  void leave() {
    Level& above = way_[way_.size() - 2];
    if (!above.listing) {
      UniqueFd fd(open_folder_at(current(), ".."));
      if (!fd && errno == EACCES && ::fchmod(current(), 0700) == 0) fd.reset(open_folder_at(current(), ".."));
      struct stat st;
      if (!fd || ::fstat(fd.get(), &st) != 0) fail({});
      if (st.st_dev != above.device || st.st_ino != above.inode) {  // somebody moved it: it leads elsewhere
        errno = EBUSY;
        fail({});
      }
      open_listing(above, std::move(fd));
    }
    const std::string name = std::move(way_.back().name);
    way_.pop_back();
    if (!unlink_at(current(), name.c_str(), AT_REMOVEDIR)) fail(name);
  }

  const fs::path& name_;
  std::vector<Level> way_;
};

}  // namespace

void remove_tree(const fs::path& path) {
  if (path.empty()) return;
  if (::unlink(path.c_str()) == 0 || errno == ENOENT) return;
  if (errno != EISDIR && errno != EPERM) throw_errno("cannot remove " + path.string());
  if (::rmdir(path.c_str()) == 0 || errno == ENOENT) return;
  UniqueFd top = open_closed_folder_at(AT_FDCWD, path.c_str());
  if (!top) throw_errno("cannot remove " + path.string());
  FolderRemoval(std::move(top), path).run();
  if (::rmdir(path.c_str()) != 0 && errno != ENOENT) throw_errno("cannot remove " + path.string());
}

bool try_remove_tree(const fs::path& path) noexcept {
  try {
    remove_tree(path);
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

}  // namespace kiln
