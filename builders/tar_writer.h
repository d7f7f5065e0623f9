#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace kiln {
class OpenFolder;
}

namespace kiln::builders {

// What a tar entry says about a file. Names are stored as given: relative ("usr/bin/env") or, as the
// buildpack specification wants it, absolute.
struct TarEntry {
  enum class Kind { File, Folder, Symlink, Hardlink, CharDevice, BlockDevice, Fifo } kind = Kind::File;
  std::string name;
  std::string link;  // target of a symlink or hardlink
  uint32_t mode = 0644;
  uint64_t uid = 0, gid = 0;
  uint64_t size = 0;  // File only; exactly this many bytes follow
  int64_t mtime = 0;
  uint32_t device_major = 0, device_minor = 0;
  std::map<std::string, std::string> xattrs;  // stored as SCHILY.xattr.*
};

// Writes a tar stream (POSIX.1-2001 pax, plain ustar where that suffices) whose bytes depend on the entries
// alone: no user names, no time of writing, pax records sorted. Calls `sink` with consecutive pieces.
// Not thread-safe.
class TarWriter {
 public:
  using Sink = std::function<void(std::string_view)>;
  explicit TarWriter(Sink sink) : sink_(std::move(sink)) {}

  // For a File with size > 0 the content must follow through content() before the next entry.
  void entry(const TarEntry& entry);
  void content(std::string_view bytes);
  // Whole files: the entry, then the bytes of `fd` from its beginning. Throws Infrastructure when the file
  // shrinks while it is read.
  void file(const TarEntry& entry, int fd);
  void finish();  // the two closing zero blocks

 private:
  void pad();
  Sink sink_;
  uint64_t remaining_ = 0;  // of the current file's content
  uint64_t size_ = 0;
};

// How a folder's files become entries: everything that would differ between two machines is fixed.
struct TreeOptions {
  std::string prefix;  // put before each relative path: "/layers/kiln_node/modules"
  uint64_t uid = 0, gid = 0;
  int64_t mtime = 315532801;  // 1980-01-01T00:00:01Z, as buildpack exporters write it
  bool include_root = true;   // an entry for the prefix itself
};

// Appends the folder's tree in lexical order. Sockets, pipes and devices are skipped; hard links are stored
// as files, as the buildpack specification has it. Links are stored, never followed, also when the tree is
// changed meanwhile.
void add_tree(TarWriter& tar, const OpenFolder& folder, const TreeOptions& options);

// Entries for each parent of an absolute `path`, "/" excluded: root-owned folders, as exporters write them.
void add_parents(TarWriter& tar, const std::filesystem::path& path, int64_t mtime = 315532801);

}  // namespace kiln::builders
