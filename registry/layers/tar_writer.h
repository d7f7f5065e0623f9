#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace kiln::registry {

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
  // Zeros from the end of a file's content to the next entry.
  static constexpr uint64_t padding(uint64_t size) { return (512 - size % 512) % 512; }
  void finish();  // the two closing zero blocks

 private:
  void pad();
  Sink sink_;
  uint64_t remaining_ = 0;  // of the current file's content
  uint64_t size_ = 0;
};

}  // namespace kiln::registry
