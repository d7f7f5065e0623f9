// What a layer leaves to the layers below it.
#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/text.h"
#include "registry/layers/layer_tree.h"

namespace kiln::registry::detail {
namespace {

constexpr int kLinkLimit = 100'000;  // of a whole layer; no honest one comes near it

std::string join_path(const std::string& folder, const std::string& leaf) {
  return folder.empty() ? leaf : folder + "/" + leaf;
}

std::string read_link(int folder, const std::string& leaf) {
  std::string text(4096, '\0');
  const ssize_t size = ::readlinkat(folder, leaf.c_str(), text.data(), text.size());
  text.resize(size < 0 ? 0 : static_cast<size_t>(size));
  return text;
}

Attributes attributes_of(const LowerLayers::Entry& entry) {
  const struct stat& status = entry.status;
  Attributes out{status.st_mode, status.st_uid, status.st_gid, status.st_mtim, {}};
  if (!S_ISLNK(status.st_mode)) out.xattrs = read_xattrs(entry.fd.get());
  return out;
}

void copy_content(int from, int to, const std::string& path) {
  const UniqueFd source(::open(("/proc/self/fd/" + std::to_string(from)).c_str(), O_RDONLY | O_CLOEXEC));
  if (!source) fail(errno, path);
  std::string buffer(256u << 10, '\0');
  for (;;) {
    const ssize_t size = ::read(source.get(), buffer.data(), buffer.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) fail(errno, path);
    if (size == 0) return;
    write_all(to, {buffer.data(), static_cast<size_t>(size)}, "cannot unpack \"" + path + "\"");
  }
}

}  // namespace

std::string LayerTree::resolved(const Folder& folder) const {
  const auto path_of = [](int fd) { return read_link(AT_FDCWD, "/proc/self/fd/" + std::to_string(fd)); };
  const std::string root = path_of(root_.get()), path = path_of(folder->get());
  if (path == root) return {};
  if (!path.starts_with(root + "/")) throw Error(ErrorKind::Infrastructure, path + " is not below " + root);
  return path.substr(root.size() + 1);
}

LayerTree::Folder LayerTree::make_implied(const std::string& path) {
  const Folder parent = open_folder(std::string(parent_of(path)));
  const std::string leaf = leaf_of(path), folder = resolved(parent), place = join_path(folder, leaf);
  std::string link = read_link(parent->get(), leaf);
  if (!link.empty() && lower_.empty())
    throw ReliesOnLower(ErrorKind::Invalid,
                        "the layer's entry \"" + path +
                            "\" cannot be unpacked: it is a link to a folder that is not in the layer");
  if (link.empty() && !hides_lower(place))
    if (const auto below = lower_.find(place); below && S_ISLNK(below->status.st_mode)) {
      copy_up(parent, place, *below);
      link = read_link(parent->get(), leaf);
    }
  if (!link.empty()) return open_folder(follow(folder, link));
  if (::mkdirat(parent->get(), leaf.c_str(), 0755) != 0) fail(errno, path);
  implied_.insert(place);
  return open_folder(place);
}

std::string LayerTree::follow(std::string folder, const std::string& link) {
  if (++links_followed_ > kLinkLimit) fail(ELOOP, link);
  if (link.starts_with('/')) folder.clear();
  for (const std::string& part : split(link, '/')) {
    if (part.empty() || part == ".") continue;
    folder = part == ".." ? std::string(parent_of(folder)) : resolved(open_folder(join_path(folder, part)));
  }
  return folder;
}

bool LayerTree::hides_lower(const std::string& path) const {
  if (whiteouts_.contains(path)) return true;
  std::string_view above = path;
  while (!above.empty()) {
    above = parent_of(above);
    const std::string folder(above);
    if (whiteouts_.contains(folder) || opaques_.contains(folder)) return true;
  }
  return false;
}

Attributes LayerTree::implied_attributes(const std::string& path) const {
  Attributes usual;
  usual.mtime = {0, UTIME_OMIT};
  if (hides_lower(path)) return usual;
  const auto below = lower_.find(path);
  return below && S_ISDIR(below->status.st_mode) ? attributes_of(*below) : usual;
}

void LayerTree::link_to_lower(const Folder& parent, const std::string& path, const std::string& target) {
  const std::string what = "the layer links \"" + path + "\" to \"" + target + "\", which is not in it";
  if (lower_.empty()) throw ReliesOnLower(ErrorKind::Invalid, what);
  const Folder from = open_folder(std::string(parent_of(target)));
  const std::string leaf = leaf_of(target), place = join_path(resolved(from), leaf);
  struct stat there;
  if (::fstatat(from->get(), leaf.c_str(), &there, AT_SYMLINK_NOFOLLOW) != 0) {
    const auto below = hides_lower(place) ? std::nullopt : lower_.find(place);
    if (!below) throw Error(ErrorKind::Invalid, what + ", nor in a layer below");
    copy_up(from, place, *below);
  }
  if (::linkat(from->get(), leaf.c_str(), parent->get(), leaf_of(path).c_str(), 0) != 0) fail(errno, path);
}

void LayerTree::copy_up(const Folder& parent, const std::string& path, const LowerLayers::Entry& entry) {
  const Attributes attributes = attributes_of(entry);
  if (S_ISLNK(entry.status.st_mode)) return symlink(path, attributes, read_link(entry.fd.get(), ""));
  if (!S_ISREG(entry.status.st_mode))
    throw Error(ErrorKind::Invalid, "the layer links to \"" + path + "\", which is no file");
  const UniqueFd fd(::openat(parent->get(), leaf_of(path).c_str(),
                             O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd) fail(errno, path);
  copy_content(entry.fd.get(), fd.get(), path);
  apply(fd.get(), attributes);
}

}  // namespace kiln::registry::detail
