#include "builders/app_source.h"

#include <cerrno>
#include <fcntl.h>
#include <string>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/open_folder.h"

namespace kiln::builders {
namespace {

void copy_file(const OpenFolder& from, const std::string& name, const fs::path& to) {
  struct stat st;
  const UniqueFd in = from.open_file(name, st);
  const UniqueFd out = open_file(to, O_WRONLY | O_CREAT | O_EXCL, st.st_mode & 0777);
  bool in_kernel = true;  // shares the blocks where the file system can
  for (off_t left = st.st_size; left > 0;) {
    const ssize_t n =
        in_kernel ? ::copy_file_range(in.get(), nullptr, out.get(), nullptr, static_cast<size_t>(left), 0)
                  : ::sendfile(out.get(), in.get(), nullptr, static_cast<size_t>(left));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && in_kernel) {  // between two file systems, most kernels refuse
      in_kernel = false;
      continue;
    }
    if (n < 0) throw_errno("cannot copy " + (from.path() / name).string());
    if (n == 0)
      throw Error(ErrorKind::Infrastructure, (from.path() / name).string() + " shrank while it was copied",
                  "run the build again");
    left -= n;
  }
  // The umask has cut the mode that open was given.
  if (::fchmod(out.get(), st.st_mode & 0777) != 0) throw_errno("cannot set the mode of " + to.string());
}

// A copied folder gets its owner when all in it is there: until then nobody else can change it.
void copy_children(const OpenFolder& from, const fs::path& to, uint32_t uid, uint32_t gid, int depth) {
  from.check_depth(depth);
  for (const std::string& name : from.names()) {
    if (depth == 1 && name == ".git") continue;
    const fs::path target = to / name;
    const auto st = from.stat(name);
    if (!st) continue;  // a build may run beside an editor; what is gone is gone
    if (S_ISDIR(st->st_mode)) {
      make_dirs(target);
      copy_children(from.folder(name), target, uid, gid, depth + 1);
      if (::chmod(target.c_str(), (st->st_mode & 0777) | 0700) != 0)
        throw_errno("cannot set the mode of " + target.string());
    } else if (S_ISLNK(st->st_mode)) {
      if (::symlink(from.read_link(name).c_str(), target.c_str()) != 0)
        throw_errno("cannot make link " + target.string());
    } else if (S_ISREG(st->st_mode)) {
      copy_file(from, name, target);
    } else {
      continue;
    }
    give_to(target, uid, gid);
  }
}

void fingerprint_children(Hasher& hasher, const OpenFolder& folder, int depth) {
  folder.check_depth(depth);
  std::string batch;
  for (const std::string& name : folder.names()) {
    const auto st = folder.stat(name);
    if (!st)
      throw Error(ErrorKind::Infrastructure, (folder.path() / name).string() + " vanished while it was read");
    const uint64_t numbers[] = {
        static_cast<uint64_t>(st->st_dev),         static_cast<uint64_t>(st->st_ino),
        static_cast<uint64_t>(st->st_size),        static_cast<uint64_t>(st->st_mode),
        static_cast<uint64_t>(st->st_mtim.tv_sec), static_cast<uint64_t>(st->st_mtim.tv_nsec),
        static_cast<uint64_t>(st->st_ctim.tv_sec), static_cast<uint64_t>(st->st_ctim.tv_nsec)};
    batch.append(name.c_str(), name.size() + 1);
    batch.append(reinterpret_cast<const char*>(numbers), sizeof numbers);
    if (!S_ISDIR(st->st_mode)) continue;
    hasher.update(batch);
    batch.clear();
    fingerprint_children(hasher, folder.folder(name), depth + 1);
    batch.push_back('\0');  // so that moving a file one folder up is a change
  }
  hasher.update(batch);
}

}  // namespace

void copy_source(const fs::path& from, const fs::path& to, uint32_t uid, uint32_t gid) {
  if (!fs::is_directory(from))
    throw Error(ErrorKind::Usage, from.string() + " is not a folder", "name the application's folder");
  make_dirs(to);
  copy_children(OpenFolder(fs::canonical(from)), to, uid, gid, 1);
  give_to(to, uid, gid);
}

void give_to(const fs::path& path, uint32_t uid, uint32_t gid) {
  if (::lchown(path.c_str(), uid, gid) != 0 && errno != EPERM && errno != EINVAL)
    throw_errno("cannot change the owner of " + path.string());
}

std::string stat_fingerprint(const OpenFolder& folder) {
  Hasher hasher;
  const uint64_t mode = folder.stat().st_mode;  // the root is an entry of the layer, too
  hasher.update({reinterpret_cast<const char*>(&mode), sizeof mode});
  fingerprint_children(hasher, folder, 1);
  return std::string(hasher.finish().encoded());
}

}  // namespace kiln::builders
