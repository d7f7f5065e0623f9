#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/unique_fd.h"
#include "registry/layers/lower_layers.h"
#include "registry/layers/unpack.h"

// Inside of registry/layers/unpack.cc: the folder a layer is unpacked into.
namespace kiln::registry::detail {

std::string_view parent_of(std::string_view path);
std::string leaf_of(std::string_view path);
UniqueFd open_in_root(int root, const std::string& path, int flags);
// What the archive can be blamed for, and what the disk can.
[[noreturn]] void fail(int error, const std::string& path);

struct Attributes {
  mode_t mode = 0755;
  uint32_t uid = 0, gid = 0;
  timespec mtime{};
  Xattrs xattrs;
};

// Writes entries below one folder and nowhere else: every path is resolved by openat2 with RESOLVE_IN_ROOT,
// so links inside the layer lead to places inside the layer. Paths are relative, without "." and "..".
// Small files are written by worker threads; the methods themselves are for one thread.
class LayerTree {
 public:
  LayerTree(const std::filesystem::path& root, const UnpackOptions& options);
  ~LayerTree();

  void directory(const std::string& path, Attributes attributes);
  void file(const std::string& path, Attributes attributes, std::string content);
  void symlink(const std::string& path, Attributes attributes, const std::string& target);
  void hardlink(const std::string& path, const std::string& target);
  void special(const std::string& path, Attributes attributes, dev_t device);  // fifo, device, socket
  void whiteout(const std::string& path);  // of what the layers below have there
  void opaque(const std::string& directory);

  // Folders that no entry described, resolved; "" is the layer's root. After finish().
  const std::set<std::string>& implied() const { return implied_; }

  // A file too large to hold: opened here, filled by the caller, then close_file().
  UniqueFd open_file(const std::string& path);
  void close_file(UniqueFd fd, const Attributes& attributes);

  // Waits for the workers and applies what had to wait: whiteouts, attributes of folders.
  void finish();

 private:
  struct OpenFolder {
    UniqueFd fd;
    ino_t inode;
    int get() const { return fd.get(); }
  };
  using Folder = std::shared_ptr<const OpenFolder>;
  struct Work {
    Folder parent;
    std::string path;
    Attributes attributes;
    std::string content;
  };

  Folder open_folder(const std::string& path);                      // makes what is missing
  Folder make_implied(const std::string& path);                     // an entry lies in it, none describes it
  std::string follow(std::string folder, const std::string& link);  // the folder it leads to, made if need be
  std::string resolved(const Folder& folder) const;                 // its path in the layer
  bool hides_lower(const std::string& path) const;                  // this layer itself
  void link_to_lower(const Folder& parent, const std::string& path, const std::string& target);
  void copy_up(const Folder& parent, const std::string& path, const LowerLayers::Entry& entry);
  Attributes implied_attributes(const std::string& path) const;
  void make_room(const Folder& parent, const std::string& path);   // removes what an earlier entry put there
  void await_file(const Folder& parent, const std::string& leaf);  // if it is in the workers' hands
  void apply(int fd, const Attributes& attributes) const;
  void run_worker();
  void write_small(const Work& work) const;
  void wait_for_workers();
  void rethrow();

  const UnpackOptions options_;
  UniqueFd root_;
  std::unordered_map<std::string, Folder> folders_;  // resolved paths, dropped when links change
  std::map<std::string, Attributes> directories_;    // applied last: making children changes them
  std::set<std::string> whiteouts_, opaques_, implied_;
  const LowerLayers lower_;
  int links_followed_ = 0;

  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::deque<Work> queue_;
  // What the workers have been given since they were last waited for, by folder and name: two paths may mean
  // one place, by way of links.
  std::set<std::pair<ino_t, std::string>> queued_;
  size_t queued_bytes_ = 0, busy_ = 0;
  bool closing_ = false;
  std::exception_ptr failure_;
  std::vector<std::thread> workers_;
};

}  // namespace kiln::registry::detail
