#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "registry/blob_sink.h"

namespace kiln::registry {

// The files below a folder or in a tar, read only. Thread-safe.
class FileTree {
 public:
  virtual ~FileTree() = default;
  // A regular file by its path inside ("blobs/sha256/…"); nullopt when there is none.
  virtual std::optional<FilePart> open(std::string_view path) const = 0;
  virtual std::string name() const = 0;  // for messages
  // All of a small file; throws NotFound, and Invalid when it is larger than `limit`.
  std::string read(std::string_view path, uint64_t limit) const;
};

class FolderTree : public FileTree {
 public:
  explicit FolderTree(std::filesystem::path folder);  // throws NotFound
  std::optional<FilePart> open(std::string_view path) const override;
  std::string name() const override { return folder_.string(); }

 private:
  const std::filesystem::path folder_;
};

// A tar archive (ustar, PAX, GNU; gzip or zstd around it is unpacked into an unnamed file first). Nothing is
// copied: members are where they lie. Symbolic and hard links among the members lead to what they name.
class TarTree : public FileTree {
 public:
  struct Limits {
    size_t members = 200'000;
    uint64_t bytes = 256ull << 30;  // unpacked
    uint64_t ratio = 1200;          // unpacked over packed, once past a gigabyte
  };
  // Throws NotFound, and Invalid for what is no such archive, breaks off, or is beyond the limits.
  explicit TarTree(const std::filesystem::path& file);
  TarTree(const std::filesystem::path& file, const Limits& limits);

  std::optional<FilePart> open(std::string_view path) const override;
  std::string name() const override { return file_.string(); }

 private:
  struct Member {
    uint64_t offset = 0, size = 0;
    std::string link;  // path of another member
  };
  void read_members(const Limits& limits);

  const std::filesystem::path file_;
  UniqueFd fd_;
  std::map<std::string, Member, std::less<>> members_;
};

}  // namespace kiln::registry
