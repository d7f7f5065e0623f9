#pragma once

#include <string_view>

#include "base/fs.h"

namespace kiln {

// The next content of a file, crash-safe like write_file_atomic() and in two halves: the constructor brings
// it to disk in a temporary file beside it, publish() puts it in the file's place. What has to be on disk
// before it goes in between. Destroyed before publish(): the file stays as it was. Not thread-safe.
class FileReplacement {
 public:
  FileReplacement(fs::path path, std::string_view content, mode_t mode = 0644);
  FileReplacement(const FileReplacement&) = delete;
  FileReplacement& operator=(const FileReplacement&) = delete;
  ~FileReplacement();
  // rename, fsync of the folder
  void publish();

 private:
  fs::path path_, temporary_;  // no temporary file any more: empty
};

}  // namespace kiln
