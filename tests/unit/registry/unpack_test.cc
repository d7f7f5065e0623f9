#include "registry/unpack.h"

#include <cstring>
#include <filesystem>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <isa-l/igzip_lib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <thread>
#include <zstd.h>

#include "base/error.h"
#include "base/fs.h"
#include "registry/image.h"
#include "registry/snapshots.h"
#include "registry/store.h"
#include "tests/unit/registry/tar_builder.h"

namespace kiln::registry {
namespace {

using testing::HasSubstr;

std::string gzip(std::string_view bytes) {
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

std::string zstd(std::string_view bytes) {
  std::string out(ZSTD_compressBound(bytes.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), bytes.data(), bytes.size(), 3));
  return out;
}

LayerReader reader_of(std::string_view bytes, size_t piece = 1000) {
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

std::string ordinary_tar() {
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

TEST_F(Unpack, RestoresContentModesTimesAndLinks) {
  const UnpackReport report = unpack(ordinary_tar());
  EXPECT_EQ(report.entries, 8u);
  EXPECT_EQ(report.diff_id, sha256(ordinary_tar()).text());
  EXPECT_EQ(read_file(target() / "etc/passwd"), "root");
  EXPECT_EQ(read_file(target() / "big").size(), 3u << 20);
  EXPECT_EQ(stat_of("etc/passwd").st_mode & 07777, 0640u);
  EXPECT_EQ(stat_of("etc").st_mode & 07777, 0750u);
  EXPECT_EQ(stat_of("bin/su").st_mode & 07777, 04755u);
  EXPECT_EQ(stat_of("bin/su").st_ino, stat_of("bin/hard").st_ino);
  EXPECT_EQ(stat_of("etc").st_mtim.tv_sec, 1'000'000'000);
  EXPECT_EQ(fs::read_symlink(target() / "etc/link"), "/bin/su");
  EXPECT_TRUE(S_ISFIFO(stat_of("fifo").st_mode));
}

TEST_F(Unpack, ReadsGzipAndZstdEvenInSeveralMembers) {
  const std::string tar = ordinary_tar();
  for (const std::string& blob :
       {gzip(tar), zstd(tar), gzip(tar.substr(0, 700)) + gzip(tar.substr(700)) + std::string(7, '\0'),
        zstd(tar.substr(0, 700)) + zstd(tar.substr(700))}) {
    TempDir into;
    EXPECT_EQ(unpack_layer(reader_of(blob), into.path(), {}, sha256(tar), options()).entries, 8u);
    EXPECT_EQ(read_file(into.path() / "etc/passwd"), "root");
  }
}

TEST_F(Unpack, RestoresOwnersWhenPrivileged) {
  if (!options().privileged) GTEST_SKIP() << "needs root to give files away";
  unpack(TarBuilder().add({.name = "f", .uid = 1234, .gid = 77}).finish());
  EXPECT_EQ(stat_of("f").st_uid, 1234u);
  EXPECT_EQ(stat_of("f").st_gid, 77u);
}

TEST_F(Unpack, WithoutPrivilegesAllBelongsToTheCaller) {
  UnpackOptions rootless;
  rootless.privileged = false;
  const std::string tar = TarBuilder()
                              .add({.name = "f", .uid = 1234})
                              .add({.name = "dev", .type = '3', .major = 1, .minor = 3})
                              .file("d/.wh..wh..opq", "")
                              .file(".wh.gone", "")
                              .finish();
  const UnpackReport report = unpack_layer(reader_of(tar), target(), {}, {}, rootless);
  EXPECT_EQ(report.skipped_devices, 1u);
  EXPECT_EQ(stat_of("f").st_uid, ::geteuid());
  EXPECT_FALSE(fs::exists(target() / "dev"));
  EXPECT_TRUE(is_whiteout("gone"));
  char value[4];
  EXPECT_EQ(::lgetxattr((target() / "d").c_str(), "user.overlay.opaque", value, sizeof value), 1);
}

TEST_F(Unpack, TurnsWhiteoutsIntoOverlayForm) {
  unpack(TarBuilder()
             .file("dir/.wh.old", "")
             .file("opaque/new", "n")
             .file("opaque/.wh..wh..opq", "")
             .file(".wh.both", "")
             .file("both", "stays")
             .file("tree/kept", "k")
             .file(".wh.tree", "")
             .file(".wh..wh.plnk", "")
             .finish());
  EXPECT_TRUE(is_whiteout("dir/old"));
  EXPECT_TRUE(is_opaque("opaque"));
  EXPECT_EQ(read_file(target() / "opaque/new"), "n");  // never hides what the same layer brings
  EXPECT_EQ(read_file(target() / "both"), "stays");
  EXPECT_TRUE(is_opaque("tree"));
  EXPECT_EQ(read_file(target() / "tree/kept"), "k");
}

TEST_F(Unpack, ALaterEntryReplacesAnEarlierOne) {
  unpack(TarBuilder()
             .file("f", "one")
             .file("f", "two")
             .folder("d", 0700)
             .file("d/x", "x")
             .folder("d", 0711)
             .symlink("l", "d")
             .folder("l", 0755)
             .file("l/y", "y")
             .folder("was/dir")
             .file("was/dir/z", "z")
             .file("was/dir", "now a file")
             .finish());
  EXPECT_EQ(read_file(target() / "f"), "two");
  EXPECT_EQ(stat_of("d").st_mode & 07777, 0711u);
  EXPECT_EQ(read_file(target() / "d/x"), "x");
  EXPECT_TRUE(S_ISDIR(stat_of("l").st_mode));
  EXPECT_FALSE(fs::exists(target() / "d/y"));
  EXPECT_EQ(read_file(target() / "was/dir"), "now a file");
}

TEST_F(Unpack, KeepsNamesThatAreNotAscii) {
  unpack(TarBuilder()
             .file("gr\xc3\xbc\xc3\x9f", "1")
             .pax("path", "p\xc3\xa4x")
             .file("x", "2")
             .file("\xff\xfe", "3")
             .finish());
  EXPECT_EQ(read_file(target() / "gr\xc3\xbc\xc3\x9f"), "1");
  EXPECT_EQ(read_file(target() / "p\xc3\xa4x"), "2");
  EXPECT_EQ(read_file(target() / "\xff\xfe"), "3");
}

TEST_F(Unpack, LinksInsideTheLayerStayInside) {
  write_file(dir_.path() / "outside", "host");
  ::chmod((dir_.path() / "outside").c_str(), 0600);
  // Written through a link that points out of the layer: lands inside of it.
  unpack(TarBuilder()
             .symlink("up", "../..")
             .file("up/file", "in")
             .symlink("abs", "/")
             .file("abs/f2", "in")
             .finish());
  EXPECT_EQ(read_file(target() / "file"), "in");
  EXPECT_EQ(read_file(target() / "f2"), "in");
  EXPECT_FALSE(fs::exists(dir_.path() / "file"));
}

TEST_F(Unpack, TakesAbsoluteNamesFromTheLayersRoot) {
  unpack(TarBuilder()
             .folder("/etc")
             .file("/etc/kiln-test-name", "in")
             .hardlink("/etc/same", "/etc/kiln-test-name")
             .finish());
  EXPECT_EQ(read_file(target() / "etc/kiln-test-name"), "in");
  EXPECT_EQ(read_file(target() / "etc/same"), "in");
  EXPECT_FALSE(fs::exists("/etc/kiln-test-name"));
}

TEST_F(Unpack, RefusesHostileArchives) {
  write_file(dir_.path() / "outside", "host");
  ::chmod((dir_.path() / "outside").c_str(), 0600);
  const std::string host = (dir_.path() / "outside").string();
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"climbs", TarBuilder().file("a/../../x", "").finish()},
      {"climbs", TarBuilder().symlink("../x", "y").finish()},
      {"root folder", TarBuilder().symlink("./.", "/").finish()},
      {"whiteout of nothing", TarBuilder().file("a/.wh.", "").finish()},
      {"whiteout of nothing", TarBuilder().file("a/.wh...", "").finish()},
      {"below a whiteout", TarBuilder().file(".wh.a/b", "").finish()},
      {"not in it", TarBuilder().hardlink("h", "missing").finish()},
      {"not in it", TarBuilder().hardlink("h", host).finish()},
      {"climbs", TarBuilder().hardlink("h", "../outside").finish()},
      {"not in it", TarBuilder().symlink("l", "..").hardlink("h", "l/outside").finish()},
      {"not in it", TarBuilder().symlink("l", dir_.path()).hardlink("h", "l/outside").finish()},
      {"impossible owner", TarBuilder().pax("uid", "4294967296").file("f", "").finish()},
      {"impossible owner", TarBuilder().pax("uid", "4294967295").file("f", "").finish()},
      {"not a readable tar",
       "this is no tar archive at all, whatever its media type says" + std::string(1000, 'x')},
      {"too deep", TarBuilder()
                       .pax("path",
                            [] {
                              std::string deep;
                              for (int i = 0; i < 300; ++i) deep += "d/";
                              return deep + "f";
                            }())
                       .file("x", "")
                       .finish()},
  };
  for (const auto& [word, tar] : cases) {
    EXPECT_THAT(refusal(tar), HasSubstr(word));
    remove_tree(target());
  }
  EXPECT_EQ(read_file(dir_.path() / "outside"), "host");
  struct stat st;
  ::stat(host.c_str(), &st);
  EXPECT_EQ(st.st_mode & 07777, 0600u);
  EXPECT_EQ(st.st_nlink, 1u);
}

TEST_F(Unpack, RefusesWhatIsTooLarge) {
  UnpackOptions tight = options();
  tight.limits.bytes = 100'000;
  tight.limits.entries = 3;
  const std::string many = TarBuilder().file("1", "").file("2", "").file("3", "").file("4", "").finish();
  EXPECT_THROW(unpack_layer(reader_of(many), target(), {}, {}, tight), Error);
  const std::string bomb = gzip(std::string(1 << 20, '\0'));
  EXPECT_THROW(unpack_layer(reader_of(bomb), target(), {}, {}, tight), Error);
  const std::string claims = TarBuilder().add({.name = "f", .size_field = "77777777777"}).finish();
  EXPECT_THROW(unpack_layer(reader_of(claims), target(), {}, {}, tight), Error);
}

TEST_F(Unpack, RefusesDamage) {
  const std::string tar = ordinary_tar();
  EXPECT_THAT(refusal(tar.substr(0, tar.size() / 2)), HasSubstr("readable tar"));
  std::string cut = gzip(tar);
  EXPECT_THAT(refusal(cut.substr(0, cut.size() - 20)), HasSubstr("ends too early"));
  cut[cut.size() / 2] ^= 0x55;
  EXPECT_FALSE(refusal(cut).empty());
  EXPECT_THAT(refusal(gzip(tar) + "trailing"), HasSubstr("corrupt"));
  const std::string frame = zstd(tar);
  EXPECT_THAT(refusal(frame.substr(0, frame.size() - 3)), HasSubstr("ends too early"));
  EXPECT_THROW(unpack_layer(reader_of(tar), target(), sha256("other"), {}, options()), Error);
  remove_tree(target());
  EXPECT_THROW(unpack_layer(reader_of(tar), target(), sha256(tar), sha256("other"), options()), Error);
}

TEST_F(Unpack, IgnoresOverlayAttributesOfTheArchive) {
  unpack(TarBuilder()
             .pax("SCHILY.xattr.trusted.overlay.redirect", "/other")
             .folder("d")
             .pax("SCHILY.xattr.user.fine", "yes")
             .file("f", "")
             .finish());
  char value[16];
  EXPECT_LT(::lgetxattr((target() / "d").c_str(), "trusted.overlay.redirect", value, sizeof value), 0);
  if (::lgetxattr((target() / "f").c_str(), "user.fine", value, sizeof value) < 0 && errno == ENOTSUP)
    GTEST_SKIP() << "this file system has no user attributes";
  EXPECT_EQ(::lgetxattr((target() / "f").c_str(), "user.fine", value, sizeof value), 3);
}

Image image_of(Store& store, const std::vector<std::string>& tars) {
  ImageConfig config;
  Manifest manifest{std::string(media::kManifest), store.put("{}", media::kConfig), {}, {}};
  for (const std::string& tar : tars) {
    config.diff_ids.push_back(sha256(tar));
    manifest.layers.push_back(store.put(gzip(tar), media::kLayerGzip));
  }
  manifest.config = store.put(serialize(config), media::kConfig);
  return {store.put(serialize(manifest), media::kManifest), manifest, config};
}

TEST(Snapshots, AreMadeOnceAndReturnedTopmostFirst) {
  TempDir dir;
  Store store(dir.path());
  const Snapshots snapshots(store);
  const Image image =
      image_of(store, {TarBuilder().file("base", "b").finish(), TarBuilder().file("top", "t").finish()});
  const auto folders = snapshots.prepare(image);
  ASSERT_EQ(folders.size(), 2u);
  EXPECT_EQ(read_file(folders[0] / "top"), "t");
  EXPECT_EQ(read_file(folders[1] / "base"), "b");
  struct stat before, after;
  ::stat(folders[0].c_str(), &before);
  EXPECT_EQ(snapshots.prepare(image), folders);
  ::stat(folders[0].c_str(), &after);
  EXPECT_EQ(before.st_ino, after.st_ino);
}

TEST(Snapshots, ManyThreadsGetTheSame) {
  TempDir dir;
  Store store(dir.path());
  const Image image = image_of(store, {ordinary_tar(), TarBuilder().file("x", "x").finish(), ordinary_tar()});
  std::vector<std::vector<fs::path>> results(4);
  {
    std::vector<std::jthread> threads;
    for (auto& result : results) threads.emplace_back([&] { result = Snapshots(store).prepare(image); });
  }
  for (const auto& result : results) EXPECT_EQ(result, results[0]);
  EXPECT_EQ(results[0].size(), 2u);  // equal layers are one folder
}

TEST(Snapshots, ATornOneIsMadeAnew) {
  TempDir dir;
  Store store(dir.path());
  const Image image = image_of(store, {TarBuilder().file("f", "whole").finish()});
  const fs::path folder = Snapshots(store).prepare(image)[0];
  write_file(folder / "f", "");
  write_file(folder.parent_path() / "boot", "an earlier boot, cut off by a power failure");
  EXPECT_EQ(read_file(Snapshots(store).prepare(image)[0] / "f"), "whole");
}

TEST(Snapshots, FailureLeavesNothing) {
  TempDir dir;
  Store store(dir.path());
  Image image = image_of(store, {TarBuilder().file("f", "x").finish()});
  image.config.diff_ids[0] = sha256("something else");
  EXPECT_THROW(Snapshots(store).prepare(image), Error);
  size_t folders = 0;
  for (const auto& entry : fs::recursive_directory_iterator(dir.path() / "snapshots/sha256"))
    folders += entry.is_directory();
  EXPECT_EQ(folders, 0u);
  image.config.diff_ids.clear();
  EXPECT_THROW(Snapshots(store).prepare(image), Error);
}

}  // namespace
}  // namespace kiln::registry
