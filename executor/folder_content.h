#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <sys/types.h>
#include <vector>

#include "base/digest.h"

namespace kiln::executor {

// What stands under a name in a folder.
struct FolderEntry {
  enum class Kind { Folder, File, Link } kind = Kind::File;
  mode_t mode = 0;  // permission bits
  uint64_t size = 0;
  std::string text;  // of a file its digest, of a link where it leads
  bool operator==(const FolderEntry&) const = default;
};

// A folder by content: relative path → entry, in lexical order. Owners and times do not count. Sockets, pipes
// and devices are left out.
using FolderContent = std::map<std::string, FolderEntry>;

struct ContentLimits {
  size_t entries = 200'000;
  uint64_t bytes = uint64_t{4} << 30;
};

// Reads all of it, no link followed; empty when there is no such folder. A file stands for itself, under "".
// Throws Invalid beyond the limits, Failed and Infrastructure as base/open_folder.h.
FolderContent read_content(const std::filesystem::path& folder, const ContentLimits& limits = {});

Digest digest_of(const FolderContent& content);

// As {path: [kind, mode, size, text]}. content_from_json() throws Invalid or nlohmann::json::exception for
// what is none.
nlohmann::json content_json(const FolderContent& content);
FolderContent content_from_json(const nlohmann::json& value);

// What made `after` out of `before`.
struct FolderChanges {
  FolderContent written;             // new, or not as before
  std::vector<std::string> removed;  // deepest last
};
FolderChanges changes(const FolderContent& before, const FolderContent& after);

// Copies the files of `written` that are in `folder` as `<to>/0`, `<to>/1`, … in their order.
void save_files(const std::filesystem::path& folder, const FolderContent& written,
                const std::filesystem::path& to);
// Makes the changes in `folder`, with files from where save_files() put them. What is made gets the owner of
// the folder it is made in. No link is followed.
void make_changes(const FolderChanges& changes, const std::filesystem::path& files,
                  const std::filesystem::path& folder);

}  // namespace kiln::executor
