#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fs.h"
#include "executor/event.h"
#include "executor/folder_content.h"
#include "executor/task_outputs.h"
#include "steps/pod.h"

namespace kiln::executor {

// All that decides what a task leaves, as far as can be told: what it runs, in which images, with which
// params, environment, files and workspaces. What it gets from the network or the clock is not in it: whoever
// asks for the cache (`kiln.dev/cache: inputs`) says that it does not matter.
struct TaskInputs {
  std::map<std::string, std::string> parts;      // "step build: script" → digest or short text
  std::map<std::string, FolderContent> folders;  // by where they are mounted
  // Beside those: what the task made itself, which is no input (TaskCache::set_aside_outputs).
  std::map<std::string, FolderContent> made = {};
  Digest key() const;
};

// Of the pod, whose steps and then sidecars run `images` (digests), and of what decides beside it (`more`:
// what it is called → its text). Throws Invalid for what is too large to be looked at.
TaskInputs task_inputs(const steps::PodSpec& pod, const std::vector<std::string>& images,
                       const std::map<std::string, std::string>& more);

// What tasks left, by their inputs: a folder per key, below `folder`. Bounded: what was not used for longest
// goes first. Thread-safe, and several processes may share the folder.
class TaskCache {
 public:
  struct Options {
    size_t entries = 500;
    uint64_t bytes = uint64_t{10} << 30;  // in files of all entries
  };
  explicit TaskCache(std::filesystem::path folder) : TaskCache(std::move(folder), Options()) {}
  TaskCache(std::filesystem::path folder, Options options) : folder_(std::move(folder)), options_(options) {}

  struct Found {
    std::string run;  // that left it
    Outcome outcome;
    std::map<std::string, FolderChanges> changes;  // by where the folder is mounted
    std::filesystem::path files;
    FileLock lock;  // so that it is not thrown away meanwhile
  };
  // Takes what `task` made in the pod's folders out of its inputs.
  void set_aside_outputs(TaskInputs& inputs, std::string_view task, const steps::PodSpec& pod) const;
  // A damaged entry counts as none.
  std::optional<Found> find(const TaskInputs& inputs) const;
  // Makes of the pod's folders, which are as in `inputs`, what they were after that task.
  void restore(const Found& found, const TaskInputs& inputs, std::string_view task,
               const steps::PodSpec& pod) const;

  // Keeps what a task left that ran with these inputs and succeeded. `task` is what it is called in its
  // pipeline, `combination` which one of its matrix: why_not() compares with the last one kept for it.
  // Nothing is kept of what is too large.
  void keep(const TaskInputs& inputs, std::string_view task, std::string_view run, const Outcome& outcome,
            const steps::PodSpec& pod, std::string_view combination = {}) const;

  // What is not as it was when `task` was last kept, one sentence each.
  std::vector<std::string> why_not(const TaskInputs& inputs, std::string_view task,
                                   std::string_view combination = {}) const;

 private:
  std::filesystem::path last_of(std::string_view task, std::string_view combination) const;
  std::filesystem::path entry_of(const Digest& key) const;
  TaskOutputs outputs() const { return {folder_ / "outputs", options_.entries}; }
  void evict() const;

  std::filesystem::path folder_;
  Options options_;
};

}  // namespace kiln::executor
