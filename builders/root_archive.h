#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "builders/tree_entries.h"

namespace kiln::builders {

// A root file system as a tar file on disk, indexed: what a layer is computed from. Times at or after
// `made_since` (seconds since the epoch) are those of the making, not of a package, and read as a fixed one.
class RootArchive {
 public:
  RootArchive(std::filesystem::path file, int64_t made_since);

  // Everything, as a first layer.
  void write_all(TarWriter& tar) const;
  // What turns `base` into this: changed and new entries with their parents, whiteouts for what is gone.
  void write_difference(TarWriter& tar, const RootArchive& base) const;

 private:
  struct Indexed {
    TarEntry entry;
    std::string content;  // sha256 of a file's bytes
    bool same_as(const Indexed& other) const;
  };
  template <class Wanted>
  void write(TarWriter& tar, const Wanted& wanted) const;

  std::filesystem::path file_;
  int64_t made_since_;
  std::map<std::string, Indexed> entries_;  // by name without "./"; sorted: parents come first
};

}  // namespace kiln::builders
