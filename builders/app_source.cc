#include "builders/app_source.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "base/digest.h"
#include "base/error.h"
#include "base/fs.h"

namespace kiln::builders {
namespace {

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename().string());
  std::ranges::sort(names);
  return names;
}

void copy_file(const fs::path& from, const fs::path& to, const struct stat& st) {
  UniqueFd in = open_file(from, O_RDONLY | O_NOFOLLOW);
  UniqueFd out = open_file(to, O_WRONLY | O_CREAT | O_EXCL, st.st_mode & 0777);
  for (off_t left = st.st_size; left > 0;) {
    const ssize_t n = ::copy_file_range(in.get(), nullptr, out.get(), nullptr, static_cast<size_t>(left), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_errno("cannot copy " + from.string());
    if (n == 0) break;
    left -= n;
  }
  ::fchmod(out.get(), st.st_mode & 0777);
}

void copy_children(const fs::path& from, const fs::path& to, uint32_t uid, uint32_t gid, bool top) {
  for (const std::string& name : names_in(from)) {
    if (top && name == ".git") continue;
    const fs::path source = from / name, target = to / name;
    struct stat st;
    if (::lstat(source.c_str(), &st) != 0) throw_errno("cannot read " + source.string());
    if (S_ISDIR(st.st_mode)) {
      make_dirs(target);
      copy_children(source, target, uid, gid, false);
      ::chmod(target.c_str(), (st.st_mode & 0777) | 0700);
    } else if (S_ISLNK(st.st_mode)) {
      fs::copy_symlink(source, target);
    } else if (S_ISREG(st.st_mode)) {
      copy_file(source, target, st);
    } else {
      continue;
    }
    give_to(target, uid, gid);
  }
}

void fingerprint_children(Hasher& hasher, const fs::path& folder) {
  for (const std::string& name : names_in(folder)) {
    const fs::path path = folder / name;
    struct stat st;
    if (::lstat(path.c_str(), &st) != 0) throw_errno("cannot read " + path.string());
    const uint64_t numbers[] = {static_cast<uint64_t>(st.st_dev),
                                static_cast<uint64_t>(st.st_ino),
                                static_cast<uint64_t>(st.st_size),
                                static_cast<uint64_t>(st.st_mode),
                                static_cast<uint64_t>(st.st_mtim.tv_sec),
                                static_cast<uint64_t>(st.st_mtim.tv_nsec),
                                static_cast<uint64_t>(st.st_ctim.tv_sec),
                                static_cast<uint64_t>(st.st_ctim.tv_nsec)};
    hasher.update({name.c_str(), name.size() + 1});
    hasher.update({reinterpret_cast<const char*>(numbers), sizeof numbers});
    if (!S_ISDIR(st.st_mode)) continue;
    fingerprint_children(hasher, path);
    hasher.update({"\0", 1});  // so that moving a file one folder up is a change
  }
}

}  // namespace

void copy_source(const fs::path& from, const fs::path& to, uint32_t uid, uint32_t gid) {
  if (!fs::is_directory(from))
    throw Error(ErrorKind::Usage, from.string() + " is not a folder", "name the application's folder");
  make_dirs(to);
  copy_children(from, to, uid, gid, true);
  give_to(to, uid, gid);
}

void give_to(const fs::path& path, uint32_t uid, uint32_t gid) {
  if (::lchown(path.c_str(), uid, gid) != 0 && errno != EPERM && errno != EINVAL)
    throw_errno("cannot change the owner of " + path.string());
}

std::string stat_fingerprint(const fs::path& folder) {
  Hasher hasher;
  fingerprint_children(hasher, folder);
  return std::string(hasher.finish().encoded());
}

}  // namespace kiln::builders
