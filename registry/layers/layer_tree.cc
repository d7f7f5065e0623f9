#include "registry/layers/layer_tree.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/open_folder.h"

namespace kiln::registry::detail {
namespace {

constexpr size_t kQueueBytes = 32u << 20;
constexpr size_t kQueueLength = 512;
constexpr size_t kFolderCache = 256;

// Forgets `path` and all below it. In order, so that an archive which replaces one folder again and again
// does not have all names searched each time.
template <class Paths>
void erase_tree(Paths& paths, const std::string& path) {
  paths.erase(path);
  paths.erase(paths.lower_bound(path + "/"), paths.lower_bound(path + "0"));  // '0' follows '/'
}

}  // namespace

std::string_view parent_of(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string_view{} : path.substr(0, slash);
}

std::string leaf_of(std::string_view path) {
  return std::string(path.substr(path.rfind('/') + 1));
}

UniqueFd open_in_root(int root, const std::string& path, int flags) {
  return open_resolved(root, path, flags, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

void fail(int error, const std::string& path) {
  switch (error) {
    case ENOENT:
    case ENOTDIR:
    case ELOOP:
    case EEXIST:
    case EISDIR:
    case ENOTEMPTY:
    case ENAMETOOLONG:
    case EXDEV:
    case EMLINK: {
      char text[128];
      throw Error(ErrorKind::Invalid, "the layer's entry \"" + path +
                                          "\" cannot be unpacked: " + strerror_r(error, text, sizeof text));
    }
    default:
      throw_errno(error, "cannot unpack \"" + path + "\"");
  }
}

LayerTree::LayerTree(const std::filesystem::path& root, const UnpackOptions& options)
    : options_(options),
      root_(kiln::open_file(root, O_RDONLY | O_DIRECTORY)),
      implied_{""},
      lower_(options.lower) {
  for (int i = 0; i < std::max(1, options.writers); ++i) workers_.emplace_back([this] { run_worker(); });
}

LayerTree::~LayerTree() {
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
    queue_.clear();
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

LayerTree::Folder LayerTree::open_folder(const std::string& path) {
  if (const auto it = folders_.find(path); it != folders_.end()) return it->second;
  UniqueFd fd = open_in_root(root_.get(), path, O_PATH | O_DIRECTORY);
  if (!fd && errno == ENOENT && !path.empty()) return make_implied(path);
  struct stat st;
  if (!fd || ::fstat(fd.get(), &st) != 0) fail(errno, path);
  if (folders_.size() >= kFolderCache) folders_.clear();
  OpenFolder opened{std::move(fd), st.st_ino};
  return folders_[path] = std::make_shared<const OpenFolder>(std::move(opened));
}

void LayerTree::make_room(const Folder& parent, const std::string& path) {
  const std::string leaf = leaf_of(path);
  struct stat st;
  await_file(parent, leaf);
  if (::fstatat(parent->get(), leaf.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) return;
  wait_for_workers();
  folders_.clear();
  if (S_ISDIR(st.st_mode)) {
    // By way of the open parent, so that no link on the way to it can lead elsewhere.
    remove_tree(std::filesystem::path("/proc/self/fd") / std::to_string(parent->get()) / leaf);
    erase_tree(directories_, path);
    erase_tree(whiteouts_, path);
    erase_tree(opaques_, path);
    erase_tree(implied_, path);
  } else if (::unlinkat(parent->get(), leaf.c_str(), 0) != 0 && errno != ENOENT) {
    fail(errno, path);
  }
}

void LayerTree::await_file(const Folder& parent, const std::string& leaf) {
  if (queued_.contains({parent->inode, leaf})) wait_for_workers();
}

void LayerTree::directory(const std::string& path, Attributes attributes) {
  if (!path.empty()) {
    const Folder parent = open_folder(std::string(parent_of(path)));
    await_file(parent, leaf_of(path));  // else the file there could be made after the folder
    if (::mkdirat(parent->get(), leaf_of(path).c_str(), 0755) != 0) {
      if (errno != EEXIST) fail(errno, path);
      struct stat st;
      if (::fstatat(parent->get(), leaf_of(path).c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) fail(errno, path);
      if (!S_ISDIR(st.st_mode)) {
        make_room(parent, path);
        if (::mkdirat(parent->get(), leaf_of(path).c_str(), 0755) != 0) fail(errno, path);
      }
    }
  }
  directories_[path] = std::move(attributes);
}

void LayerTree::file(const std::string& path, Attributes attributes, std::string content) {
  Folder parent = open_folder(std::string(parent_of(path)));
  make_room(parent, path);
  queued_.emplace(parent->inode, leaf_of(path));
  std::unique_lock lock(mutex_);
  done_.wait(lock, [&] { return failure_ || (queue_.size() < kQueueLength && queued_bytes_ < kQueueBytes); });
  rethrow();
  queued_bytes_ += content.size();
  queue_.push_back({std::move(parent), path, std::move(attributes), std::move(content)});
  lock.unlock();
  wake_.notify_one();
}

UniqueFd LayerTree::open_file(const std::string& path) {
  const Folder parent = open_folder(std::string(parent_of(path)));
  make_room(parent, path);
  UniqueFd fd(::openat(parent->get(), leaf_of(path).c_str(),
                       O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd) fail(errno, path);
  return fd;
}

void LayerTree::close_file(UniqueFd fd, const Attributes& attributes) {
  apply(fd.get(), attributes);
}

void LayerTree::symlink(const std::string& path, Attributes attributes, const std::string& target) {
  const Folder parent = open_folder(std::string(parent_of(path)));
  make_room(parent, path);
  const std::string leaf = leaf_of(path);
  if (target.empty()) fail(ENOENT, path);
  if (::symlinkat(target.c_str(), parent->get(), leaf.c_str()) != 0) fail(errno, path);
  if (options_.privileged &&
      ::fchownat(parent->get(), leaf.c_str(), attributes.uid, attributes.gid, AT_SYMLINK_NOFOLLOW) != 0)
    fail(errno, path);
  const timespec times[2] = {attributes.mtime, attributes.mtime};
  ::utimensat(parent->get(), leaf.c_str(), times, AT_SYMLINK_NOFOLLOW);
}

void LayerTree::hardlink(const std::string& path, const std::string& target) {
  if (path == target) return;
  const Folder parent = open_folder(std::string(parent_of(path)));
  make_room(parent, path);
  const std::string leaf = leaf_of(target);
  const UniqueFd from = open_in_root(root_.get(), std::string(parent_of(target)), O_PATH | O_DIRECTORY);
  struct stat st;
  const auto is_there = [&] { return ::fstatat(from.get(), leaf.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0; };
  bool found = from && is_there();
  if (from && !found) {
    wait_for_workers();  // it may still be in their hands; a file half written can be linked all the same
    found = is_there();
  }
  if (!found) return link_to_lower(parent, path, target);
  if (S_ISDIR(st.st_mode)) throw Error(ErrorKind::Invalid, "the layer links \"" + path + "\" to a folder");
  if (::linkat(from.get(), leaf.c_str(), parent->get(), leaf_of(path).c_str(), 0) != 0) fail(errno, path);
}

void LayerTree::special(const std::string& path, Attributes attributes, dev_t device) {
  const Folder parent = open_folder(std::string(parent_of(path)));
  make_room(parent, path);
  const std::string leaf = leaf_of(path);
  if (::mknodat(parent->get(), leaf.c_str(), attributes.mode, device) != 0) fail(errno, path);
  if (options_.privileged) {
    if (::fchownat(parent->get(), leaf.c_str(), attributes.uid, attributes.gid, AT_SYMLINK_NOFOLLOW) != 0)
      fail(errno, path);
    // Not a link: it was just made under O_EXCL semantics in a folder that only we write to.
    if (::fchmodat(parent->get(), leaf.c_str(), attributes.mode & 07777, 0) != 0) fail(errno, path);
  }
  const timespec times[2] = {attributes.mtime, attributes.mtime};
  ::utimensat(parent->get(), leaf.c_str(), times, AT_SYMLINK_NOFOLLOW);
}

void LayerTree::whiteout(const std::string& path) {
  open_folder(std::string(parent_of(path)));
  whiteouts_.insert(path);
}

void LayerTree::opaque(const std::string& directory) {
  open_folder(directory);
  opaques_.insert(directory);
}

void LayerTree::finish() {
  wait_for_workers();
  folders_.clear();
  for (const std::string& path : whiteouts_) {
    const Folder parent = open_folder(std::string(parent_of(path)));
    if (::mknodat(parent->get(), leaf_of(path).c_str(), S_IFCHR | 0600, makedev(0, 0)) == 0) continue;
    if (errno != EEXIST) fail(errno, path);
    // The same layer puts something there. A file hides what is below by itself; a folder must say so.
    struct stat st;
    if (::fstatat(parent->get(), leaf_of(path).c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
      opaques_.insert(path);
  }
  const char* attribute = options_.privileged ? "trusted.overlay.opaque" : "user.overlay.opaque";
  for (const std::string& path : opaques_) {
    const UniqueFd fd = open_in_root(root_.get(), path, O_RDONLY | O_DIRECTORY);
    if (!fd || ::fsetxattr(fd.get(), attribute, "y", 1, 0) != 0) fail(errno, path);
  }
  for (auto it = implied_.begin(); it != implied_.end();) {
    const bool is_new = directories_.try_emplace(*it, implied_attributes(*it)).second;
    it = is_new ? std::next(it) : implied_.erase(it);
  }
  for (auto it = directories_.rbegin(); it != directories_.rend(); ++it) {  // children before parents
    const UniqueFd fd = open_in_root(root_.get(), it->first, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (!fd) fail(errno, it->first);
    apply(fd.get(), it->second);
  }
}

void LayerTree::apply(int fd, const Attributes& attributes) const {
  // The order matters: chown clears set-uid bits and capabilities.
  if (options_.privileged && ::fchown(fd, attributes.uid, attributes.gid) != 0) throw_errno("chown");
  if (::fchmod(fd, attributes.mode & 07777) != 0) throw_errno("chmod");
  for (const auto& [name, value] : attributes.xattrs) {
    if (is_own_xattr(name)) continue;  // would let an image redirect its folders into those of others
    if (!options_.privileged && !name.starts_with("user.")) continue;
    if (::fsetxattr(fd, name.c_str(), value.data(), value.size(), 0) != 0 && errno != ENOTSUP &&
        errno != EPERM)
      throw_errno("cannot set the attribute " + name);
  }
  const timespec times[2] = {attributes.mtime, attributes.mtime};
  if (::futimens(fd, times) != 0) throw_errno("cannot set a file's time");
}

void LayerTree::write_small(const Work& work) const {
  UniqueFd fd(::openat(work.parent->get(), leaf_of(work.path).c_str(),
                       O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd) fail(errno, work.path);
  write_all(fd.get(), work.content, "cannot unpack \"" + work.path + "\"");
  apply(fd.get(), work.attributes);
}

void LayerTree::run_worker() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [&] { return closing_ || !queue_.empty(); });
    if (queue_.empty()) return;
    const Work work = std::move(queue_.front());
    queue_.pop_front();
    ++busy_;
    lock.unlock();
    std::exception_ptr failure;
    try {
      write_small(work);
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    --busy_;
    queued_bytes_ -= work.content.size();
    if (failure && !failure_) failure_ = failure;
    if (failure_) queue_.clear();
    done_.notify_all();
  }
}

void LayerTree::wait_for_workers() {
  std::unique_lock lock(mutex_);
  done_.wait(lock, [&] { return queue_.empty() && busy_ == 0; });
  rethrow();
  queued_.clear();
}

void LayerTree::rethrow() {
  if (failure_) std::rethrow_exception(failure_);
}

}  // namespace kiln::registry::detail
