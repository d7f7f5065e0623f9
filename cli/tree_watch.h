#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "base/unique_fd.h"

namespace kiln::cli {

// Notices when files change (inotify(7)): of a folder all in it, at any depth, but for `.git` and what the
// .gitignore files at its top and below leave out (names, globs, `dir/`, `/anchored`; a `!` line is not
// read). At most kMostFolders are watched; the rest is left out, see watches_all(). For one thread at a time.
class TreeWatch {
 public:
  // Files or folders, as they are now.
  explicit TreeWatch(const std::vector<std::filesystem::path>& paths);

  // Blocks until something has changed and then been quiet for a moment. With `known_only` a file that was
  // not there when the watch began does not count: what a run makes in its workspace is not a change.
  // False when `stop` was requested first.
  bool wait(std::stop_token stop, bool known_only);
  bool watches_all() const { return watches_all_; }

  static constexpr size_t kMostFolders = 8192;

 private:
  struct Folder {
    std::filesystem::path path;
    std::filesystem::path top;  // of its tree; empty: only the files named count
  };
  void add_tree(const std::filesystem::path& folder, const std::filesystem::path& top);
  bool add_folder(const std::filesystem::path& folder, const std::filesystem::path& top);
  void read_ignored(const std::filesystem::path& folder);
  bool is_ignored(const std::filesystem::path& path, bool is_folder) const;
  // Whether one of the events that are there counts.
  bool take_events(bool known_only);

  UniqueFd inotify_;
  std::map<int, Folder> folders_;          // by watch descriptor
  std::set<std::filesystem::path> files_;  // known: named, or found in a tree
  std::set<std::filesystem::path> named_;
  struct Rule {
    std::filesystem::path folder;  // where its .gitignore stands
    std::string glob;
    bool anchored = false, folders_only = false;
  };
  std::vector<Rule> ignored_;
  bool watches_all_ = true;
};

}  // namespace kiln::cli
