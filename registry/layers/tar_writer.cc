#include "registry/layers/tar_writer.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <unistd.h>
#include <vector>

#include "base/error.h"

namespace kiln::registry {
namespace {

constexpr size_t kBlock = 512;

// The header block of POSIX.1-1988 ustar.
struct Header {
  char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100], magic[6],
      version[2], user[32], group[32], major[8], minor[8], prefix[155], padding[12];
};
static_assert(sizeof(Header) == kBlock);

template <size_t N>
void put_octal(char (&field)[N], uint64_t value) {
  for (size_t i = N - 1; i-- > 0; value >>= 3) field[i] = static_cast<char>('0' + (value & 7));
}

template <size_t N>
bool fits_octal(const char (&)[N], uint64_t value) {
  return value < (uint64_t{1} << (3 * (N - 1)));
}

// ustar splits a long name at a slash into prefix (155) and name (100).
bool split_name(std::string_view full, std::string_view& prefix, std::string_view& name) {
  if (full.size() <= 100) {
    prefix = {};
    name = full;
    return true;
  }
  const size_t from = full.size() > 256 ? std::string_view::npos : full.size() - 101;
  const size_t slash = from == std::string_view::npos ? from : full.find('/', from);
  if (slash == std::string_view::npos || slash == 0 || slash > 155 || slash + 1 == full.size()) return false;
  prefix = full.substr(0, slash);
  name = full.substr(slash + 1);
  return true;
}

// "<length> key=value\n", the length counting itself (pax).
std::string pax_record(std::string_view key, std::string_view value) {
  const size_t payload = key.size() + value.size() + 3;
  size_t length = payload + 1;
  while (std::to_string(length).size() + payload != length) length = std::to_string(length).size() + payload;
  return std::to_string(length) + " " + std::string(key) + "=" + std::string(value) + "\n";
}

char type_of(TarEntry::Kind kind) {
  switch (kind) {
    case TarEntry::Kind::File:
      return '0';
    case TarEntry::Kind::Hardlink:
      return '1';
    case TarEntry::Kind::Symlink:
      return '2';
    case TarEntry::Kind::CharDevice:
      return '3';
    case TarEntry::Kind::BlockDevice:
      return '4';
    case TarEntry::Kind::Folder:
      return '5';
    case TarEntry::Kind::Fifo:
      return '6';
  }
  return '0';
}

void seal(Header& header) {
  std::memcpy(header.magic, "ustar", 6);
  std::memcpy(header.version, "00", 2);
  std::memset(header.checksum, ' ', sizeof header.checksum);
  unsigned sum = 0;
  for (size_t i = 0; i < kBlock; ++i) sum += reinterpret_cast<const unsigned char*>(&header)[i];
  std::snprintf(header.checksum, 7, "%06o", sum);
}

std::string_view bytes_of(const Header& header) {
  return {reinterpret_cast<const char*>(&header), kBlock};
}

}  // namespace

void TarWriter::entry(const TarEntry& e) {
  if (remaining_ != 0)
    throw Error(ErrorKind::Infrastructure, "tar: the content before \"" + e.name + "\" is short");
  Header header{};
  std::map<std::string, std::string> pax;
  for (const auto& [name, value] : e.xattrs) pax["SCHILY.xattr." + name] = value;

  std::string_view prefix, name;
  if (!split_name(e.name, prefix, name)) {
    pax["path"] = e.name;
    name = std::string_view(e.name).substr(0, 100);
    prefix = {};
  }
  std::ranges::copy(name, header.name);
  std::ranges::copy(prefix, header.prefix);
  if (e.link.size() > sizeof header.link) pax["linkpath"] = e.link;
  std::ranges::copy(std::string_view(e.link).substr(0, sizeof header.link), header.link);

  const uint64_t size = e.kind == TarEntry::Kind::File ? e.size : 0;
  const auto number = [&](auto& field, uint64_t value, const char* key) {
    if (!fits_octal(field, value)) {
      pax[key] = std::to_string(value);
      value = 0;
    }
    put_octal(field, value);
  };
  number(header.uid, e.uid, "uid");
  number(header.gid, e.gid, "gid");
  number(header.size, size, "size");
  if (e.mtime < 0) {
    pax["mtime"] = std::to_string(e.mtime);
    put_octal(header.mtime, 0);
  } else {
    number(header.mtime, static_cast<uint64_t>(e.mtime), "mtime");
  }
  put_octal(header.mode, e.mode & 07777);
  header.type = type_of(e.kind);
  if (e.kind == TarEntry::Kind::CharDevice || e.kind == TarEntry::Kind::BlockDevice) {
    put_octal(header.major, e.device_major);
    put_octal(header.minor, e.device_minor);
  }
  seal(header);

  if (!pax.empty()) {
    std::string records;
    for (const auto& [key, value] : pax) records += pax_record(key, value);
    Header extended{};
    std::memcpy(extended.name, "pax", 3);
    put_octal(extended.mode, 0644);
    put_octal(extended.uid, 0);
    put_octal(extended.gid, 0);
    put_octal(extended.size, records.size());
    put_octal(extended.mtime, 0);
    extended.type = 'x';
    seal(extended);
    sink_(bytes_of(extended));
    size_ = remaining_ = records.size();
    content(records);
  }
  sink_(bytes_of(header));
  size_ = remaining_ = size;
}

void TarWriter::content(std::string_view bytes) {
  if (bytes.size() > remaining_)
    throw Error(ErrorKind::Infrastructure, "tar: more content than the entry's size");
  sink_(bytes);
  remaining_ -= bytes.size();
  if (remaining_ == 0) pad();
}

void TarWriter::pad() {
  static constexpr std::array<char, kBlock> kZeros{};
  if (const uint64_t rest = padding(size_)) sink_({kZeros.data(), rest});
}

void TarWriter::file(const TarEntry& e, int fd) {
  entry(e);
  thread_local std::vector<char> buffer(256 << 10);
  while (remaining_ > 0) {
    const ssize_t n = ::read(fd, buffer.data(), std::min<uint64_t>(buffer.size(), remaining_));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_errno("cannot read " + e.name);
    if (n == 0)
      throw Error(ErrorKind::Infrastructure, e.name + " shrank while it was read", "run the build again");
    content({buffer.data(), static_cast<size_t>(n)});
  }
}

void TarWriter::finish() {
  static constexpr std::array<char, 2 * kBlock> kZeros{};
  sink_({kZeros.data(), kZeros.size()});
}

}  // namespace kiln::registry
