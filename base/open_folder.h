#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <vector>

#include "base/unique_fd.h"

namespace kiln {

// A folder held open, and the way to what is in it, where nobody vouches for that: steps and buildpacks write
// such folders, and may leave a link to a file of the host, a pipe that never answers, a folder that is
// exchanged for a link while it is read. So every name here is a single path component looked up from the
// open folder, and links are never followed. Errors: Failed for what should not have been left (the message
// names it), NotFound and Infrastructure as in base/fs.h. Not thread-safe.
class OpenFolder {
 public:
  // `path` must be a folder itself, not a link to one; what leads to it is trusted.
  explicit OpenFolder(std::filesystem::path path);

  // Names in lexical order, without "." and "..".
  std::vector<std::string> names() const;
  // The entry itself, links not followed; nullopt when there is none.
  std::optional<struct stat> stat(const std::string& name) const;
  struct stat stat() const;  // of this folder

  // nullopt when there is nothing of this name, or something that is no folder.
  std::optional<OpenFolder> find_folder(const std::string& name) const;
  // As find_folder, but throws Failed: for an entry that was a folder a moment ago.
  OpenFolder folder(const std::string& name) const;
  // A regular file, open for reading and, with `status` filled, what it was when it was opened.
  UniqueFd open_file(const std::string& name, struct stat& status) const;
  // A regular file's content; nullopt when there is nothing of this name. More than `limit` bytes are Failed.
  std::optional<std::string> read(const std::string& name, uint64_t limit) const;
  std::string read_link(const std::string& name) const;

  // A new file in place of whatever has this name. It gets this folder's owner, as far as we may give it.
  void write(const std::string& name, std::string_view content) const;
  // A new, empty file in place of whatever has this name, to be written; `mode` whatever the umask.
  UniqueFd create_file(const std::string& name, mode_t mode) const;
  void make_link(const std::string& name, const std::string& target) const;  // likewise
  void remove(const std::string& name) const;                                // rm -rf
  // Makes the folder, in place of anything that is none; its owner is this folder's.
  OpenFolder make_folder(const std::string& name) const;
  void set_mode(mode_t mode) const;  // of this folder

  const std::filesystem::path& path() const { return path_; }  // for messages

  // Trees that nest deeper than this are refused: one folder is kept open per level.
  static constexpr int kMaxDepth = 400;
  void check_depth(int depth) const;

 private:
  OpenFolder(UniqueFd fd, std::filesystem::path path) : fd_(std::move(fd)), path_(std::move(path)) {}
  UniqueFd fd_;
  std::filesystem::path path_;
};

// openat2(2) with `resolve` (RESOLVE_…), tried again while somebody renames on the way; "" is the folder
// itself. Nothing, with errno, where the kernel refuses.
UniqueFd open_resolved(int folder, const std::string& path, int flags, uint64_t resolve);

// What `below` names in `folder`, or the folder itself when that is empty. Links on the way are followed as
// long as they stay in the folder (openat2(2), RESOLVE_BENEATH); what leads to `folder` is trusted. Throws
// Invalid for what leads out, NotFound.
UniqueFd open_beneath(const std::filesystem::path& folder, const std::filesystem::path& below, int flags);

}  // namespace kiln
