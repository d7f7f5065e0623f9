#include "registry/layers/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <cerrno>
#include <cstring>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <thread>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/utf8_locale.h"
#include "registry/layers/decompress.h"
#include "registry/layers/header_check.h"
#include "registry/layers/layer_tree.h"
#include "registry/layers/piece_queue.h"

namespace kiln::registry {
namespace {

using detail::Attributes;
using detail::HeaderCheck;
using detail::LayerTree;
using detail::PieceQueue;

constexpr size_t kSmallFile = 1u << 20;  // up to here a file goes to the worker threads whole
constexpr std::string_view kWhiteout = ".wh.", kOpaque = ".wh..wh..opq", kAufs = ".wh..wh.";

[[noreturn]] void refuse(std::string_view path, std::string_view why) {
  throw Error(ErrorKind::Invalid,
              "the layer's entry \"" + std::string(path.substr(0, 200)) + "\" " + std::string(why),
              "the image is hostile or broken; it was not unpacked");
}

// "./a//b/" → "a/b"; "" is the layer's root. Refuses what could lead out of it. Buildpack exporters write
// absolute names; like any other they begin at the layer's root.
std::string clean_path(const char* given, const UnpackLimits& limits) {
  if (!given) refuse("?", "has an unreadable name");
  const std::string_view text = given;
  if (text.empty()) refuse(text, "has no name");
  if (text.size() > limits.path_length) refuse(text, "has too long a name");
  std::string out;
  size_t depth = 0;
  for (size_t at = 0; at <= text.size();) {
    const size_t slash = std::min(text.find('/', at), text.size());
    const std::string_view part = text.substr(at, slash - at);
    at = slash + 1;
    if (part.empty() || part == ".") continue;
    if (part == "..") refuse(text, "climbs out of its folder");
    if (++depth > limits.depth) refuse(text, "lies too deep");
    if (!out.empty()) out += '/';
    out += part;
  }
  return out;
}

std::string_view path_of(archive_entry* entry) {
  const char* path = ::archive_entry_pathname(entry);
  return path ? path : "?";
}

class LayerReading {
 public:
  LayerReading(LayerTree& tree, PieceQueue& pieces, const UnpackOptions& options)
      : tree_(tree), pieces_(pieces), options_(options), archive_(::archive_read_new()) {
    if (!archive_) throw std::bad_alloc();
  }
  ~LayerReading() { ::archive_read_free(archive_); }

  void run() {
    const Utf8Locale utf8;
    ::archive_read_support_format_tar(archive_);
    ::archive_read_support_format_empty(archive_);
    ::archive_read_support_filter_none(archive_);
    check(::archive_read_open(archive_, this, nullptr, &LayerReading::give_piece, nullptr));
    archive_entry* entry = nullptr;
    for (;;) {
      const int result = ::archive_read_next_header(archive_, &entry);
      if (result == ARCHIVE_EOF) break;
      check(result);
      if (++report_.entries > options_.limits.entries) refuse(path_of(entry), "is one too many");
      headers_.check(static_cast<uint64_t>(::archive_read_header_position(archive_)), path_of(entry));
      take(entry);
      check(::archive_read_data_skip(archive_));
      headers_.content_ended();
    }
    if (failure_) std::rethrow_exception(failure_);
    // What follows the archive's end belongs to the diff ID as well.
    while (!next_piece().empty()) {
    }
    report_.diff_id = hasher_.finish().text();
    tree_.finish();
    report_.implied.assign(tree_.implied().begin(), tree_.implied().end());
  }
  const UnpackReport& report() const { return report_; }

 private:
  static la_ssize_t give_piece(archive* a, void* self, const void** data) {
    auto& reading = *static_cast<LayerReading*>(self);
    try {
      const std::string_view piece = reading.next_piece();
      *data = piece.data();
      return static_cast<la_ssize_t>(piece.size());
    } catch (...) {  // not through C code
      reading.failure_ = std::current_exception();
      ::archive_set_error(a, EIO, "the layer cannot be read");
      return -1;
    }
  }

  std::string_view next_piece() {
    const std::string_view piece = headers_.give(pieces_.pop());
    hasher_.update(piece);
    report_.tar_bytes += piece.size();
    return piece;
  }

  void check(int result) {
    if (failure_) std::rethrow_exception(failure_);
    if (result >= ARCHIVE_WARN) return;
    const char* why = ::archive_error_string(archive_);
    throw Error(ErrorKind::Invalid,
                std::string("the layer is not a readable tar archive: ") + (why ? why : "?"),
                "the image is broken; pull or build it again");
  }

  Attributes attributes_of(archive_entry* entry, const std::string& path) {
    Attributes out;
    out.mode = ::archive_entry_mode(entry);
    const int64_t uid = ::archive_entry_uid(entry), gid = ::archive_entry_gid(entry);
    // An owner beyond 32 bits would wrap around, possibly to root (CVE-2024-40635).
    if (uid < 0 || uid >= UINT32_MAX || gid < 0 || gid >= UINT32_MAX) refuse(path, "has an impossible owner");
    out.uid = static_cast<uint32_t>(uid);
    out.gid = static_cast<uint32_t>(gid);
    out.mtime = {::archive_entry_mtime(entry), ::archive_entry_mtime_nsec(entry)};
    ::archive_entry_xattr_reset(entry);
    const char* name;
    const void* value;
    size_t size;
    while (::archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK)
      out.xattrs.emplace_back(name, std::string(static_cast<const char*>(value), size));
    return out;
  }

  void take(archive_entry* entry) {
    std::string path = clean_path(::archive_entry_pathname(entry), options_.limits);
    const std::string leaf = path.substr(path.rfind('/') + 1);
    const std::string parent =
        leaf.size() == path.size() ? "" : path.substr(0, path.size() - leaf.size() - 1);
    if (leaf.starts_with(kWhiteout)) {
      const std::string hidden = leaf.substr(kWhiteout.size());
      if (leaf == kOpaque) return tree_.opaque(parent);
      if (leaf.starts_with(kAufs)) return;  // bookkeeping of aufs, no content
      if (hidden.empty() || hidden == "." || hidden == "..") refuse(path, "is a whiteout of nothing");
      return tree_.whiteout(parent.empty() ? hidden : parent + "/" + hidden);
    }
    // A whiteout's name inside of a path would smuggle a hidden folder in.
    if (("/" + parent).find("/.wh.") != std::string::npos) refuse(path, "lies below a whiteout");

    if (const char* target = ::archive_entry_hardlink(entry)) {
      const std::string to = clean_path(target, options_.limits);
      if (path.empty() || to.empty()) refuse(path, "links to or from the root");
      return tree_.hardlink(path, to);
    }
    const mode_t type = ::archive_entry_filetype(entry);
    if (path.empty() && type != AE_IFDIR) refuse(path, "replaces the root folder");  // CVE-2021-29136
    Attributes attributes = attributes_of(entry, path);
    switch (type) {
      case AE_IFDIR:
        return tree_.directory(path, std::move(attributes));
      case AE_IFREG:
        return take_file(entry, path, std::move(attributes));
      case AE_IFLNK: {
        const char* target = ::archive_entry_symlink(entry);
        if (!target || !*target || std::strlen(target) >= 4096) refuse(path, "is a link to nowhere");
        return tree_.symlink(path, std::move(attributes), target);
      }
      case AE_IFIFO:
        return tree_.special(path, std::move(attributes), 0);
      case AE_IFCHR:
      case AE_IFBLK:
        if (!options_.privileged) {
          ++report_.skipped_devices;
          return;
        }
        return tree_.special(path, std::move(attributes),
                             makedev(::archive_entry_rdevmajor(entry), ::archive_entry_rdevminor(entry)));
      default:
        refuse(path, "is of an unknown kind");
    }
  }

  void take_file(archive_entry* entry, const std::string& path, Attributes attributes) {
    const int64_t size = ::archive_entry_size(entry);
    if (size < 0) refuse(path, "has a negative size");
    file_bytes_ += static_cast<uint64_t>(size);
    if (static_cast<uint64_t>(size) > options_.limits.bytes || file_bytes_ > options_.limits.bytes)
      refuse(path, "makes the layer larger than it may be");
    const bool small = static_cast<size_t>(size) <= kSmallFile;
    std::string content;
    UniqueFd fd;
    if (small)
      content.resize(static_cast<size_t>(size));
    else
      fd = tree_.open_file(path);
    for (;;) {
      const void* data;
      size_t count;
      la_int64_t offset;
      const int result = ::archive_read_data_block(archive_, &data, &count, &offset);
      if (result == ARCHIVE_EOF) break;
      check(result);
      // A sparse file's map is the archive's own claim (CVE-2025-58183).
      if (offset < 0 || offset > size || count > static_cast<uint64_t>(size - offset))
        refuse(path, "has content beyond its size");
      if (small)
        std::memcpy(content.data() + offset, data, count);
      else
        write_all_at(fd.get(), {static_cast<const char*>(data), count}, offset, "cannot unpack " + path);
    }
    if (small) return tree_.file(path, std::move(attributes), std::move(content));
    if (::ftruncate(fd.get(), size) != 0) throw_errno("cannot unpack " + path);  // a hole at the end
    tree_.close_file(std::move(fd), attributes);
  }

  LayerTree& tree_;
  PieceQueue& pieces_;
  const UnpackOptions& options_;
  archive* archive_;
  Hasher hasher_;
  HeaderCheck headers_;
  std::exception_ptr failure_;
  UnpackReport report_;
  uint64_t file_bytes_ = 0;
};

// Reads, checks and decompresses the blob on a thread of its own.
void produce(const LayerReader& read, const std::optional<Digest>& blob, const UnpackLimits& limits,
             PieceQueue& pieces) {
  try {
    Hasher hasher(blob ? blob->algorithm() : "sha256");
    uint64_t in = 0, out = 0;
    bool wanted = true;
    Decompressor decompressor([&](std::string_view piece) {
      out += piece.size();
      if (out > limits.bytes || (out > (1u << 30) && out / std::max<uint64_t>(in, 1) > limits.ratio))
        throw Error(ErrorKind::Invalid, "the layer grows beyond what is allowed when it is decompressed",
                    "it is a decompression bomb, or far larger than any real layer");
      wanted = wanted && pieces.push(std::string(piece));
    });
    std::string buffer(256u << 10, '\0');
    while (wanted) {
      const size_t count = read(buffer.data(), buffer.size());
      if (count == 0) break;
      in += count;
      hasher.update({buffer.data(), count});
      decompressor.write({buffer.data(), count});
    }
    if (wanted) {
      // First the digest: damage on the way explains every other error.
      if (const Digest found = hasher.finish(); blob && found != *blob)
        throw Error(ErrorKind::Invalid, "the layer's digest is " + found.text() + ", not " + blob->text(),
                    "the image store is damaged; remove the blob and pull or build the image again");
      decompressor.finish();
    }
    pieces.end();
  } catch (...) {
    pieces.end(std::current_exception());
  }
}

}  // namespace

UnpackReport unpack_layer(const LayerReader& read, const std::filesystem::path& target,
                          const std::optional<Digest>& blob, const std::optional<Digest>& diff_id,
                          const UnpackOptions& options) {
  LayerTree tree(target, options);
  PieceQueue pieces;
  std::jthread producer([&] { produce(read, blob, options.limits, pieces); });
  const OnExit stop_producer([&] { pieces.close(); });
  LayerReading reading(tree, pieces, options);
  reading.run();
  if (diff_id && reading.report().diff_id != diff_id->text())
    throw Error(ErrorKind::Invalid,
                "the layer's content is " + reading.report().diff_id + ", not " + diff_id->text() +
                    " as its image says",
                "the image is broken; pull or build it again");
  return reading.report();
}

bool may_unpack_privileged() {
  if (::geteuid() != 0) return false;
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  if (::syscall(SYS_capget, &header, data) != 0) return false;
  for (const int needed : {CAP_CHOWN, CAP_MKNOD, CAP_SYS_ADMIN})
    if (!(data[needed / 32].effective & (1u << (needed % 32)))) return false;
  // Root of a user namespace has them all, but not over the machine.
  try {
    const std::string map = read_file("/proc/self/uid_map", 4096);
    return map.find("4294967295") != std::string::npos;
  } catch (const Error&) {
    return true;  // no /proc: no namespaces to be told of
  }
}

}  // namespace kiln::registry
