#include "registry/layers/lower_layers.h"

#include <cerrno>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/xattr.h>

#include "base/fs.h"
#include "base/open_folder.h"

namespace kiln::registry {
namespace {

UniqueFd open_entry(int layer, const std::string& path) {
  return open_resolved(layer, path, O_PATH | O_NOFOLLOW, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

bool is_opaque(int fd) {
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  for (const char* name : {"trusted.overlay.opaque", "user.overlay.opaque"}) {
    char value;
    if (::getxattr(path.c_str(), name, &value, 1) == 1 && value == 'y') return true;
  }
  return false;
}

bool is_whiteout(const struct stat& status) {
  return S_ISCHR(status.st_mode) && status.st_rdev == 0;
}

// Whether this layer lets the layers below it show what they have at `path`.
bool lets_through(int layer, const std::string& path) {
  for (size_t slash = path.find('/'); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    const UniqueFd fd = open_entry(layer, path.substr(0, slash));
    if (!fd) return errno == ENOENT;
    struct stat status;
    if (::fstat(fd.get(), &status) != 0 || !S_ISDIR(status.st_mode) || is_opaque(fd.get())) return false;
  }
  return true;
}

}  // namespace

LowerLayers::LowerLayers(std::vector<std::filesystem::path> topmost_first) {
  for (const auto& layer : topmost_first) layers_.push_back(open_file(layer, O_PATH | O_DIRECTORY));
}

std::optional<LowerLayers::Entry> LowerLayers::find(const std::string& path) const {
  for (const UniqueFd& layer : layers_) {
    UniqueFd fd = open_entry(layer.get(), path);
    struct stat status;
    if (fd && ::fstat(fd.get(), &status) == 0) {
      if (is_whiteout(status)) return std::nullopt;
      return Entry{std::move(fd), status};
    }
    if (!lets_through(layer.get(), path)) return std::nullopt;
  }
  return std::nullopt;
}

bool LowerLayers::differs_from_usual(const std::string& path, bool privileged) const {
  const auto entry = find(path);
  if (!entry) return false;
  const struct stat& status = entry->status;
  if (!S_ISDIR(status.st_mode)) return S_ISLNK(status.st_mode);
  if ((status.st_mode & 07777) != 0755) return true;
  if (privileged && (status.st_uid != 0 || status.st_gid != 0)) return true;
  return !read_xattrs(entry->fd.get()).empty();
}

bool is_own_xattr(std::string_view name) {
  return name.starts_with("trusted.overlay.") || name.starts_with("user.overlay.") ||
         name.starts_with("user.fuseoverlayfs.") || name.starts_with("user.containers.");
}

Xattrs read_xattrs(int fd) {
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  Xattrs out;
  const ssize_t length = ::listxattr(path.c_str(), nullptr, 0);
  if (length <= 0) return out;
  std::string names(static_cast<size_t>(length), '\0');
  const ssize_t read = ::listxattr(path.c_str(), names.data(), names.size());
  names.resize(read < 0 ? 0 : static_cast<size_t>(read));
  for (size_t at = 0; at < names.size();) {
    const std::string name = names.c_str() + at;
    at += name.size() + 1;
    if (is_own_xattr(name) || name == "security.selinux") continue;
    const ssize_t size = ::getxattr(path.c_str(), name.c_str(), nullptr, 0);
    if (size < 0) continue;
    std::string value(static_cast<size_t>(size), '\0');
    if (::getxattr(path.c_str(), name.c_str(), value.data(), value.size()) == size)
      out.emplace_back(name, std::move(value));
  }
  return out;
}

}  // namespace kiln::registry
