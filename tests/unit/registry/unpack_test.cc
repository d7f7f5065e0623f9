#include "registry/layers/unpack.h"

#include <filesystem>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/error.h"
#include "base/fs.h"
#include "tests/unit/registry/unpack_fixture.h"

namespace kiln::registry {
namespace {

using testing::HasSubstr;

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

}  // namespace
}  // namespace kiln::registry
