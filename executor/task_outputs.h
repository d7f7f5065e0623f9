#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "executor/folder_content.h"

namespace kiln::executor {

// What tasks made in folders that outlive runs. It is no input of their next run as long as it is there
// unchanged: they would make it again. A file that was there before a task and that the task changed is an
// input, and stays one. Kept in a file per task and folder, below `folder`; what is lost of it costs a run.
class TaskOutputs {
 public:
  // `most`: files that are kept.
  TaskOutputs(std::filesystem::path folder, size_t most) : folder_(std::move(folder)), most_(most) {}

  // Takes out of `content`, which is that of `source`, what `task` made there; returns that.
  FolderContent set_aside(std::string_view task, const std::filesystem::path& source,
                          FolderContent& content) const;
  // `task` made `after` out of `before` (and of what was set aside).
  void record(std::string_view task, const std::filesystem::path& source, const FolderContent& before,
              const FolderContent& after) const;

 private:
  std::filesystem::path file_of(std::string_view task, const std::filesystem::path& source) const;
  FolderContent read(const std::filesystem::path& file) const;
  void evict() const;

  std::filesystem::path folder_;
  size_t most_;
};

}  // namespace kiln::executor
