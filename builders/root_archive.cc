#include "builders/root_archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <functional>
#include <memory>
#include <set>
#include <vector>

#include "base/digest.h"
#include "base/error.h"
#include "base/utf8_locale.h"

namespace kiln::builders {
namespace {

constexpr int64_t kFixedTime = 315532801;  // as buildpack exporters use

struct CloseArchive {
  void operator()(archive* a) const { archive_read_free(a); }
};
using Reader = std::unique_ptr<archive, CloseArchive>;

std::string normal_name(std::string name) {
  if (name.starts_with("./")) name.erase(0, 2);
  while (name.ends_with('/')) name.pop_back();
  return name;
}

TarEntry to_entry(archive_entry* from, int64_t made_since) {
  TarEntry entry;
  const char* name = archive_entry_pathname(from);
  if (!name) throw Error(ErrorKind::Infrastructure, "an archive entry has a name that cannot be read");
  entry.name = normal_name(name);
  entry.mode = archive_entry_perm(from);
  entry.uid = static_cast<uint64_t>(archive_entry_uid(from));
  entry.gid = static_cast<uint64_t>(archive_entry_gid(from));
  entry.mtime = archive_entry_mtime(from);
  if (entry.mtime >= made_since) entry.mtime = kFixedTime;
  if (const char* target = archive_entry_hardlink(from)) {
    entry.kind = TarEntry::Kind::Hardlink;
    entry.link = normal_name(target);
  } else {
    switch (archive_entry_filetype(from)) {
      case AE_IFDIR:
        entry.kind = TarEntry::Kind::Folder;
        break;
      case AE_IFLNK:
        entry.kind = TarEntry::Kind::Symlink;
        entry.link = archive_entry_symlink(from);
        break;
      case AE_IFCHR:
        entry.kind = TarEntry::Kind::CharDevice;
        break;
      case AE_IFBLK:
        entry.kind = TarEntry::Kind::BlockDevice;
        break;
      case AE_IFIFO:
        entry.kind = TarEntry::Kind::Fifo;
        break;
      default:
        entry.size = static_cast<uint64_t>(archive_entry_size(from));
    }
    if (entry.kind == TarEntry::Kind::CharDevice || entry.kind == TarEntry::Kind::BlockDevice) {
      entry.device_major = static_cast<uint32_t>(archive_entry_rdevmajor(from));
      entry.device_minor = static_cast<uint32_t>(archive_entry_rdevminor(from));
    }
  }
  archive_entry_xattr_reset(from);
  const char* attribute = nullptr;
  const void* value = nullptr;
  size_t size = 0;
  while (archive_entry_xattr_next(from, &attribute, &value, &size) == ARCHIVE_OK)
    entry.xattrs[attribute] = std::string(static_cast<const char*>(value), size);
  return entry;
}

// Devices are the sandbox's business, and the root itself has no name.
bool is_skipped(const TarEntry& entry) {
  return entry.name.empty() || entry.name == "." || entry.kind == TarEntry::Kind::CharDevice ||
         entry.kind == TarEntry::Kind::BlockDevice;
}

void for_each(const std::filesystem::path& file, const std::function<void(archive*, archive_entry*)>& visit) {
  const Utf8Locale locale;
  Reader reader(archive_read_new());
  archive_read_support_format_tar(reader.get());
  const auto fail = [&] {
    throw Error(ErrorKind::Infrastructure,
                "cannot read " + file.string() + ": " + archive_error_string(reader.get()));
  };
  if (archive_read_open_filename(reader.get(), file.c_str(), 1 << 20) != ARCHIVE_OK) fail();
  archive_entry* entry = nullptr;
  int code;
  while ((code = archive_read_next_header(reader.get(), &entry)) == ARCHIVE_OK) visit(reader.get(), entry);
  if (code != ARCHIVE_EOF) fail();
}

void for_each_block(archive* reader, const std::function<void(std::string_view)>& sink) {
  std::vector<char> buffer(256 << 10);
  for (;;) {
    const la_ssize_t n = archive_read_data(reader, buffer.data(), buffer.size());
    if (n < 0)
      throw Error(ErrorKind::Infrastructure,
                  std::string("cannot read archive: ") + archive_error_string(reader));
    if (n == 0) return;
    sink({buffer.data(), static_cast<size_t>(n)});
  }
}

}  // namespace

bool RootArchive::Indexed::same_as(const Indexed& o) const {
  const TarEntry &a = entry, &b = o.entry;
  return a.kind == b.kind && a.link == b.link && a.mode == b.mode && a.uid == b.uid && a.gid == b.gid &&
         a.size == b.size && a.xattrs == b.xattrs && content == o.content &&
         // A folder's time says when something else changed; it is taken from the lower layer.
         (a.mtime == b.mtime || a.kind == TarEntry::Kind::Folder);
}

RootArchive::RootArchive(std::filesystem::path file, int64_t made_since)
    : file_(std::move(file)), made_since_(made_since) {
  for_each(file_, [&](archive* reader, archive_entry* raw) {
    Indexed indexed{to_entry(raw, made_since_), {}};
    if (is_skipped(indexed.entry)) return;
    if (indexed.entry.kind == TarEntry::Kind::File) {
      Hasher hasher;
      for_each_block(reader, [&](std::string_view bytes) { hasher.update(bytes); });
      indexed.content = hasher.finish().text();
    }
    entries_.insert_or_assign(indexed.entry.name, std::move(indexed));
  });
  // A hard link is as different as the file it shares.
  for (auto& [name, indexed] : entries_)
    if (indexed.entry.kind == TarEntry::Kind::Hardlink)
      if (const auto target = entries_.find(indexed.entry.link); target != entries_.end())
        indexed.content = target->second.content;
}

template <class Wanted>
void RootArchive::write(TarWriter& tar, const Wanted& wanted) const {
  for_each(file_, [&](archive* reader, archive_entry* raw) {
    const TarEntry entry = to_entry(raw, made_since_);
    if (is_skipped(entry) || !wanted(entry.name)) return;
    tar.entry(entry);
    if (entry.kind == TarEntry::Kind::File && entry.size > 0)
      for_each_block(reader, [&](std::string_view bytes) { tar.content(bytes); });
  });
}

void RootArchive::write_all(TarWriter& tar) const {
  write(tar, [](const std::string&) { return true; });
}

void RootArchive::write_difference(TarWriter& tar, const RootArchive& base) const {
  std::set<std::string> wanted;
  const auto want = [&](std::string name) {
    // Parents come along, so that the layer alone restores their attributes.
    while (!name.empty() && wanted.insert(name).second) {
      const size_t slash = name.rfind('/');
      name = slash == std::string::npos ? "" : name.substr(0, slash);
    }
  };
  for (const auto& [name, indexed] : entries_) {
    const auto in_base = base.entries_.find(name);
    if (in_base != base.entries_.end() && indexed.same_as(in_base->second)) continue;
    want(name);
    if (indexed.entry.kind == TarEntry::Kind::Hardlink) want(indexed.entry.link);
  }
  // Below a folder that is gone as a whole, its own whiteout says it all; below one that became something
  // else, that something does.
  const auto folder_is_gone = [&](const std::string& name) {
    for (size_t slash = name.find('/'); slash != std::string::npos; slash = name.find('/', slash + 1)) {
      const auto parent = entries_.find(name.substr(0, slash));
      if (parent == entries_.end() ? base.entries_.contains(name.substr(0, slash))
                                   : parent->second.entry.kind != TarEntry::Kind::Folder)
        return true;
    }
    return false;
  };
  std::vector<std::string> gone;
  for (const auto& [name, indexed] : base.entries_) {
    if (entries_.contains(name) || folder_is_gone(name)) continue;
    gone.push_back(name);
    if (const size_t slash = name.rfind('/'); slash != std::string::npos) want(name.substr(0, slash));
  }
  write(tar, [&](const std::string& name) { return wanted.contains(name); });
  for (const std::string& name : gone) {
    const size_t slash = name.rfind('/');
    const std::string folder = slash == std::string::npos ? "" : name.substr(0, slash + 1);
    tar.entry({.name = folder + ".wh." + name.substr(folder.size()), .mode = 0644, .mtime = kFixedTime});
  }
}

}  // namespace kiln::builders
