#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "registry/layers/tar_writer.h"

namespace kiln {
class OpenFolder;
}

namespace kiln::builders {

using registry::TarEntry;
using registry::TarWriter;

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
