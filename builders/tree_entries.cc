#include "builders/tree_entries.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/open_folder.h"

namespace kiln::builders {
namespace {

void add_children(TarWriter& tar, const OpenFolder& folder, const std::string& prefix,
                  const TreeOptions& options, int depth) {
  folder.check_depth(depth);
  for (const std::string& name : folder.names()) {
    const auto st = folder.stat(name);
    if (!st)
      throw Error(ErrorKind::Infrastructure, (folder.path() / name).string() + " vanished while it was read");
    TarEntry entry{.name = prefix.empty() ? name : prefix + "/" + name,
                   .mode = st->st_mode & 07777,
                   .uid = options.uid,
                   .gid = options.gid,
                   .mtime = options.mtime};
    if (S_ISDIR(st->st_mode)) {
      const OpenFolder child = folder.folder(name);
      entry.kind = TarEntry::Kind::Folder;
      tar.entry(entry);
      add_children(tar, child, entry.name, options, depth + 1);
    } else if (S_ISLNK(st->st_mode)) {
      entry.kind = TarEntry::Kind::Symlink;
      entry.mode = 0777;
      entry.link = folder.read_link(name);
      tar.entry(entry);
    } else if (S_ISREG(st->st_mode)) {
      struct stat opened;
      const UniqueFd fd = folder.open_file(name, opened);
      entry.mode = opened.st_mode & 07777;
      entry.size = static_cast<uint64_t>(opened.st_size);
      tar.file(entry, fd.get());
    }
  }
}

}  // namespace

void add_tree(TarWriter& tar, const OpenFolder& folder, const TreeOptions& options) {
  if (options.include_root && !options.prefix.empty())
    tar.entry({.kind = TarEntry::Kind::Folder,
               .name = options.prefix,
               .mode = folder.stat().st_mode & 07777u,
               .uid = options.uid,
               .gid = options.gid,
               .mtime = options.mtime});
  add_children(tar, folder, options.prefix, options, 1);
}

void add_parents(TarWriter& tar, const std::filesystem::path& path, int64_t mtime) {
  std::filesystem::path parent;
  for (const std::filesystem::path& part : path.parent_path()) {
    parent /= part;
    if (parent == "/") continue;
    tar.entry({.kind = TarEntry::Kind::Folder, .name = parent.string(), .mode = 0755, .mtime = mtime});
  }
}

}  // namespace kiln::builders
