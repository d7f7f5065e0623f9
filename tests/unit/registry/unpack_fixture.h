#pragma once

#include <cstring>
#include <filesystem>
#include <gtest/gtest.h>
#include <isa-l/igzip_lib.h>
#include <optional>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <zstd.h>

#include "base/error.h"
#include "base/fs.h"
#include "registry/layers/unpack.h"
#include "tests/unit/registry/tar_builder.h"

namespace kiln::registry {

inline std::string gzip(std::string_view bytes) {
  std::string out(bytes.size() + 4096, '\0');
  isal_zstream stream;
  isal_deflate_stateless_init(&stream);
  stream.gzip_flag = IGZIP_GZIP;
  stream.next_in = reinterpret_cast<uint8_t*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uint32_t>(bytes.size());
  stream.next_out = reinterpret_cast<uint8_t*>(out.data());
  stream.avail_out = static_cast<uint32_t>(out.size());
  EXPECT_EQ(isal_deflate_stateless(&stream), COMP_OK);
  out.resize(stream.total_out);
  return out;
}

inline std::string zstd(std::string_view bytes) {
  std::string out(ZSTD_compressBound(bytes.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), bytes.data(), bytes.size(), 3));
  return out;
}

inline LayerReader reader_of(std::string_view bytes, size_t piece = 1000) {
  return [bytes, piece](char* buffer, size_t size) mutable {
    const size_t count = std::min({size, piece, bytes.size()});
    std::memcpy(buffer, bytes.data(), count);
    bytes.remove_prefix(count);
    return count;
  };
}

class Unpack : public testing::Test {
 protected:
  UnpackOptions options() const {
    UnpackOptions out;
    out.privileged = may_unpack_privileged();
    return out;
  }
  UnpackReport unpack(const std::string& blob) {
    return unpack_layer(reader_of(blob), target(), sha256(blob), std::nullopt, options());
  }
  // The message of the Invalid error that unpacking must end in.
  std::string refusal(const std::string& blob) {
    try {
      unpack(blob);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::Invalid) << error.full();
      return error.full();
    }
    ADD_FAILURE() << "it was unpacked";
    return {};
  }
  fs::path target() const {
    fs::create_directory(dir_.path() / "target");
    return dir_.path() / "target";
  }
  struct stat stat_of(const char* name) const {
    struct stat st {};
    EXPECT_EQ(::lstat((target() / name).c_str(), &st), 0) << name;
    return st;
  }
  bool is_opaque(const char* name) const {
    char value[4];
    const char* attribute = options().privileged ? "trusted.overlay.opaque" : "user.overlay.opaque";
    return ::lgetxattr((target() / name).c_str(), attribute, value, sizeof value) == 1 && value[0] == 'y';
  }
  bool is_whiteout(const char* name) const {
    const struct stat st = stat_of(name);
    return S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0);
  }
  TempDir dir_;
};

inline std::string ordinary_tar() {
  return TarBuilder()
      .folder("./")
      .folder("etc/", 0750)
      .file("etc/passwd", "root", 0640)
      .file("bin/su", "su", 04755)
      .symlink("etc/link", "/bin/su")
      .hardlink("bin/hard", "bin/su")
      .file("big", std::string(3 << 20, 'b'))
      .add({.name = "fifo", .type = '6'})
      .finish();
}

}  // namespace kiln::registry
