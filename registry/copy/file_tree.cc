#include "registry/copy/file_tree.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/text.h"
#include "registry/layers/decompress.h"

namespace kiln::registry {
namespace {

constexpr size_t kBlock = 512;
constexpr uint64_t kExtendedLimit = 1u << 20;  // of a PAX header or a long name
constexpr int kLinkLimit = 8;

Error damaged(const fs::path& file, const std::string& why) {
  return Error(ErrorKind::Invalid, file.string() + " is no tar archive that can be read: " + why,
               "it may have been cut off, or be something else");
}

uint64_t size_of(int fd, const fs::path& file) {
  struct stat st;
  if (::fstat(fd, &st) != 0) throw_errno("cannot read " + file.string());
  if (!S_ISREG(st.st_mode)) throw Error(ErrorKind::Invalid, file.string() + " is no regular file");
  return static_cast<uint64_t>(st.st_size);
}

size_t read_at(int fd, char* buffer, size_t size, uint64_t offset, const fs::path& file) {
  size_t got = 0;
  while (got < size) {
    const ssize_t n = ::pread(fd, buffer + got, size - got, static_cast<off_t>(offset + got));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_errno("cannot read " + file.string());
    if (n == 0) break;
    got += static_cast<size_t>(n);
  }
  return got;
}

// "./a//b/../c" → "a/c". Empty for what climbs out.
std::string normal(std::string_view path) {
  std::vector<std::string> parts;
  for (std::string& part : split(path, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      if (parts.empty()) return {};
      parts.pop_back();
    } else {
      parts.push_back(std::move(part));
    }
  }
  return join(parts, "/");
}

std::string field(const char* block, size_t offset, size_t length) {
  return std::string(block + offset, ::strnlen(block + offset, length));
}

// Octal, or base 256 with the first bit set.
std::optional<uint64_t> number(const char* block, size_t offset, size_t length) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(block + offset);
  uint64_t out = 0;
  if (bytes[0] & 0x80) {
    for (size_t i = 0; i < length; ++i) {
      const unsigned byte = i == 0 ? bytes[0] & 0x7f : bytes[i];
      if (out >> 55) return std::nullopt;
      out = out << 8 | byte;
    }
    return out;
  }
  for (size_t i = 0; i < length && bytes[i] != 0; ++i) {
    if (bytes[i] == ' ') continue;
    if (bytes[i] < '0' || bytes[i] > '7' || out >> 60) return std::nullopt;
    out = out << 3 | (bytes[i] - '0');
  }
  return out;
}

bool has_right_sum(const char* block) {
  uint64_t sum = 0;
  for (size_t i = 0; i < kBlock; ++i) sum += i >= 148 && i < 156 ? ' ' : static_cast<unsigned char>(block[i]);
  return number(block, 148, 8) == sum;
}

// What extended headers say of the member that follows.
struct Extended {
  std::string path, link;
  std::optional<uint64_t> size;
  bool sparse = false;

  // PAX records "LENGTH KEY=VALUE\n"; false when malformed.
  bool read(std::string_view records) {
    while (!records.empty()) {
      size_t length = 0, at = 0;
      for (; at < records.size() && records[at] >= '0' && records[at] <= '9' && length < kExtendedLimit; ++at)
        length = length * 10 + static_cast<size_t>(records[at] - '0');
      if (at == 0 || at >= records.size() || records[at] != ' ' || length > records.size() ||
          length < at + 3 || records[length - 1] != '\n')
        return false;
      const std::string_view record = records.substr(at + 1, length - at - 2);
      const size_t equals = record.find('=');
      if (equals == std::string_view::npos) return false;
      const std::string_view key = record.substr(0, equals), value = record.substr(equals + 1);
      if (key == "path") path = value;
      if (key == "linkpath") link = value;
      if (key.starts_with("GNU.sparse")) sparse = true;
      if (key == "size") {
        if (value.empty() || value.size() > 18 ||
            value.find_first_not_of("0123456789") != std::string_view::npos)
          return false;
        size = std::stoull(std::string(value));
      }
      records.remove_prefix(length);
    }
    return true;
  }
};

UniqueFd unpacked(UniqueFd packed, const fs::path& file, const TarTree::Limits& limits) {
  const uint64_t size = size_of(packed.get(), file);
  UniqueFd out = unnamed_file();
  uint64_t written = 0;
  Decompressor decompressor([&](std::string_view bytes) {
    written += bytes.size();
    if (written > limits.bytes || (written > (1ull << 30) && written / limits.ratio > size))
      throw Error(ErrorKind::Invalid, file.string() + " unpacks to more than is taken from a stranger");
    write_all(out.get(), bytes, "cannot unpack " + file.string());
  });
  std::string buffer(1u << 20, '\0');
  for (uint64_t done = 0; done < size;) {
    const size_t n = read_at(packed.get(), buffer.data(), buffer.size(), done, file);
    if (n == 0) break;
    decompressor.write({buffer.data(), n});
    done += n;
  }
  decompressor.finish();
  return out;
}

bool is_packed(int fd, const fs::path& file) {
  char magic[6] = {};
  const size_t n = read_at(fd, magic, sizeof magic, 0, file);
  const std::string_view head(magic, n);
  if (head.starts_with("\xfd"
                       "7zXZ") ||
      head.starts_with("BZh"))
    throw Error(ErrorKind::Invalid, file.string() + " is compressed by xz or bzip2",
                "unpack it first: unxz or bunzip2");
  return head.starts_with("\x1f\x8b") || head.starts_with("\x28\xb5\x2f\xfd");
}

}  // namespace

std::string FileTree::read(std::string_view path, uint64_t limit) const {
  const auto part = open(path);
  if (!part)
    throw Error(ErrorKind::NotFound, name() + " has no " + std::string(path), "it may hold no image");
  if (part->size > limit)
    throw Error(ErrorKind::Invalid,
                std::string(path) + " of " + name() + " is larger than " + format_bytes(limit));
  std::string out(part->size, '\0');
  out.resize(read_at(part->fd.get(), out.data(), out.size(), part->offset, name()));
  return out;
}

FolderTree::FolderTree(fs::path folder) : folder_(std::move(folder)) {
  if (!fs::is_directory(folder_)) throw Error(ErrorKind::NotFound, "there is no folder " + folder_.string());
}

std::optional<FilePart> FolderTree::open(std::string_view path) const {
  UniqueFd fd(::open((folder_ / path).c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd && (errno == ENOENT || errno == ENOTDIR)) return std::nullopt;
  if (!fd) throw_errno("cannot read " + (folder_ / path).string());
  const uint64_t size = size_of(fd.get(), folder_ / path);
  return FilePart{std::move(fd), 0, size};
}

TarTree::TarTree(const fs::path& file) : TarTree(file, Limits{}) {}

TarTree::TarTree(const fs::path& file, const Limits& limits) : file_(file), fd_(open_file(file, O_RDONLY)) {
  if (is_packed(fd_.get(), file_)) fd_ = unpacked(std::move(fd_), file_, limits);
  read_members(limits);
}

void TarTree::read_members(const Limits& limits) {
  const uint64_t end = size_of(fd_.get(), file_);
  Extended extended;
  char block[kBlock];
  size_t count = 0;
  for (uint64_t at = 0;;) {
    if (at + kBlock > end) {
      if (at == end && count > 0) break;  // without the two blocks of zeros: some writers
      throw damaged(file_, "it ends too early");
    }
    if (read_at(fd_.get(), block, kBlock, at, file_) != kBlock) throw damaged(file_, "it ends too early");
    if (std::all_of(block, block + kBlock, [](char c) { return c == 0; })) break;
    if (!has_right_sum(block)) throw damaged(file_, "a header is not one");
    if (++count > limits.members) throw damaged(file_, "it has too many members");
    const char type = block[156];
    uint64_t size = 0;
    if (const auto given = number(block, 124, 12))
      size = *given;
    else
      throw damaged(file_, "a size is not one");
    const bool describes = type == 'x' || type == 'g' || type == 'L' || type == 'K';
    if (!describes && extended.size) size = *extended.size;
    // Links have no bytes, whatever their header says.
    const bool has_bytes = describes || type == '0' || type == '\0' || type == '7';
    const uint64_t data = at + kBlock, length = has_bytes ? size : 0;
    if (length > end - data) throw damaged(file_, "a member is longer than the archive");
    at = data + (length + kBlock - 1) / kBlock * kBlock;

    if (describes) {
      if (size > kExtendedLimit) throw damaged(file_, "an extended header is too large");
      std::string text(size, '\0');
      read_at(fd_.get(), text.data(), size, data, file_);
      if (type == 'x' && !extended.read(text)) throw damaged(file_, "an extended header is malformed");
      if (type == 'L') extended.path = text.c_str();
      if (type == 'K') extended.link = text.c_str();
      continue;
    }
    const Extended said = std::exchange(extended, {});
    if (said.sparse || type == 'S') throw damaged(file_, "sparse members are not taken");
    std::string name = said.path;
    if (name.empty()) {
      const bool ustar = std::string_view(block + 257, 5) == "ustar" && block[262] == '\0';
      const std::string prefix = ustar ? field(block, 345, 155) : "";
      name = (prefix.empty() ? "" : prefix + "/") + field(block, 0, 100);
    }
    const std::string path = normal(name);
    if (path.empty() || name.ends_with('/')) continue;  // a folder, or nothing anybody would ask for
    Member member{data, length, {}};
    if (type == '1' || type == '2') {
      const std::string target = said.link.empty() ? field(block, 157, 100) : said.link;
      const size_t slash = path.rfind('/');
      const std::string folder = type == '2' && slash != std::string::npos ? path.substr(0, slash + 1) : "";
      member.link = normal(folder + target);
      if (member.link.empty()) continue;
    } else if (!has_bytes) {
      continue;
    }
    members_.insert_or_assign(path, std::move(member));  // the later one wins, as with tar itself
  }
}

std::optional<FilePart> TarTree::open(std::string_view path) const {
  auto it = members_.find(normal(path));
  for (int links = 0; it != members_.end() && !it->second.link.empty(); ++links) {
    if (links == kLinkLimit) throw damaged(file_, "its links lead in circles");
    it = members_.find(it->second.link);
  }
  if (it == members_.end()) return std::nullopt;
  UniqueFd fd(::fcntl(fd_.get(), F_DUPFD_CLOEXEC, 0));
  if (!fd) throw_errno("cannot read " + file_.string());
  return FilePart{std::move(fd), it->second.offset, it->second.size};
}

}  // namespace kiln::registry
