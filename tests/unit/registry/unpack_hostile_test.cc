#include <filesystem>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <vector>

#include "base/error.h"
#include "base/fs.h"
#include "registry/layers/unpack.h"
#include "tests/unit/registry/unpack_fixture.h"

// What archives of others have done to those who unpacked them, and what they must not do to us.
namespace kiln::registry {
namespace {

using testing::HasSubstr;

using HostileLayer = Unpack;

TEST_F(HostileLayer, RefusesHostileArchives) {
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

TEST_F(HostileLayer, RefusesWhatIsTooLarge) {
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

TEST_F(HostileLayer, MayNotHaveTwoSizes) {
  // CVE-2025-62518: a scanner that believes the old field sees other files than who believes the pax header.
  const auto sizes = [](std::string field, std::string_view pax, std::string content) {
    return TarBuilder()
        .pax("size", pax)
        .add({.name = "f", .content = std::move(content), .size_field = std::move(field)})
        .finish();
  };
  EXPECT_THAT(refusal(sizes("00000001000", "5", "hello")), HasSubstr("two sizes: 512, and 5"));
  EXPECT_THAT(refusal(sizes("00000000005", "-1", "hello")),
              testing::AnyOf(HasSubstr("no number"), HasSubstr("negative")));
  EXPECT_THAT(refusal(TarBuilder().pax("size", "5").pax("size", "6").file("f", "hello").finish()),
              HasSubstr("two sizes"));
  EXPECT_THAT(refusal(TarBuilder().add({.name = "f", .size_field = "\xff\xff\xff"}).finish()),
              HasSubstr("negative"));
  EXPECT_THAT(
      refusal(TarBuilder().add({.name = "g", .type = 'g', .content = "9 size=5\n"}).file("f", "").finish()),
      HasSubstr("for all entries"));
  // What writers do with a file of more than 8 GiB, and what is merely said twice.
  remove_tree(target());
  unpack(sizes("00000000000", "5", "hello"));
  EXPECT_EQ(read_file(target() / "f"), "hello");
  unpack(sizes("00000000005", "5", "again"));
  EXPECT_EQ(read_file(target() / "f"), "again");
}

TEST_F(HostileLayer, MayNotHideFilesInWhatHasNoContent) {
  const std::string hidden = TarBuilder().file("hidden", "h").finish();
  for (const char type : {'1', '2', '3', '4', '5', '6'})
    EXPECT_THAT(refusal(TarBuilder()
                            .file("f", "")
                            .add({.name = "x", .type = type, .content = hidden, .link = "f"})
                            .finish()),
                HasSubstr("has content"))
        << type;
}

TEST_F(HostileLayer, MayNotHaveHeadersWithoutEnd) {
  EXPECT_THAT(refusal(TarBuilder().pax("comment", std::string(2 << 20, 'c')).file("f", "").finish()),
              testing::AnyOf(HasSubstr("too large"), HasSubstr("readable tar")));
  TarBuilder many;
  for (int i = 0; i < 100; ++i) many.pax("comment", "c");
  EXPECT_THAT(refusal(many.file("f", "").finish()),
              testing::AnyOf(HasSubstr("too many headers"), HasSubstr("readable tar")));
  EXPECT_THAT(
      refusal(TarBuilder().add({.name = "p", .type = 'x', .content = "99 path=a\n"}).file("f", "").finish()),
      testing::AnyOf(HasSubstr("pax header"), HasSubstr("readable tar")));
}

TEST_F(HostileLayer, HeadersAcrossManyPiecesAreFound) {
  const std::string tar = TarBuilder().pax("comment", std::string(900 << 10, 'c')).file("f", "f").finish();
  unpack_layer(reader_of(gzip(tar), 100), target(), {}, sha256(tar), options());
  EXPECT_EQ(read_file(target() / "f"), "f");
}

TEST_F(HostileLayer, ASparseFilesMapStaysInsideTheFile) {
  // CVE-2025-58183 and its kind: the map is the archive's own claim (GNU tar, sparse format 1.0).
  const auto sparse = [](std::string_view size, std::string map) {
    map.resize(512, '\0');
    return TarBuilder()
        .pax({{"GNU.sparse.major", "1"},
              {"GNU.sparse.minor", "0"},
              {"GNU.sparse.name", "f"},
              {"GNU.sparse.realsize", std::string(size)}})
        .file("GNUSparseFile.0/f", map + "12345")
        .finish();
  };
  unpack(sparse("20", "1\n10\n5\n"));
  EXPECT_EQ(read_file(target() / "f"), std::string(10, '\0') + "12345" + std::string(5, '\0'));
  for (const char* map : {"1\n18\n5\n", "1\n9223372036854775800\n5\n", "1\n-5\n5\n", "99999999999\n1\n1\n"}) {
    remove_tree(target());
    EXPECT_FALSE(refusal(sparse("20", map)).empty()) << map;
  }
  UnpackOptions tight = options();
  tight.limits.bytes = 100'000;
  const std::string huge = sparse("1099511627776", "1\n10\n5\n");
  EXPECT_THROW(unpack_layer(reader_of(huge), target(), {}, {}, tight), Error);
}

TEST_F(HostileLayer, AFolderThatBecomesALinkLeadsNowhere) {
  // CVE-2025-47290 and CVE-2020-15257's relatives: the path was checked, then it was another one.
  write_file(dir_.path() / "outside", "host");
  unpack(TarBuilder()
             .file("d/a", "1")
             .symlink("d", "../..")
             .file("d/outside", "inside")
             .symlink("e", "../..")
             .file("e/outside", "inside")
             .finish());
  EXPECT_EQ(read_file(dir_.path() / "outside"), "host");
  EXPECT_EQ(read_file(target() / "outside"), "inside");
  const std::string up = "../" + std::string(dir_.path().filename());
  EXPECT_THAT(refusal(TarBuilder().symlink("self", "/proc/self/root").file("self/f", "").finish()),
              HasSubstr("cannot be"));
  EXPECT_THAT(refusal(TarBuilder().symlink("y", up).file("y/outside", "").finish()), HasSubstr("cannot be"));
  EXPECT_THAT(refusal(TarBuilder().file("x/a", "1").symlink("x", dir_.path()).file("x/outside", "").finish()),
              HasSubstr("cannot be"));
  EXPECT_EQ(read_file(dir_.path() / "outside"), "host");
  EXPECT_THAT(refusal(TarBuilder().symlink("loop", "loop").file("loop/f", "").finish()),
              HasSubstr("cannot be"));
}

TEST_F(HostileLayer, LinksOfSymbolicLinksAreOfTheLinkItself) {
  write_file(dir_.path() / "outside", "host");
  unpack(TarBuilder().symlink("l", dir_.path() / "outside").hardlink("h", "l").file("h", "mine").finish());
  EXPECT_EQ(read_file(dir_.path() / "outside"), "host");
  EXPECT_EQ(read_file(target() / "h"), "mine");
  EXPECT_TRUE(fs::is_symlink(target() / "l"));
}

// The same places again and again, while the workers are still busy with what was there before.
TEST_F(HostileLayer, MarksAndReplacementsMayRepeat) {
  TarBuilder tar;
  for (int i = 0; i < 200; ++i)
    tar.folder("d/e")
        .file("d/.wh..wh..opq", "")
        .file("d/.wh.x", "")
        .file("d", "")
        .folder("d")
        .file("d/f", "");
  unpack(tar.file("d/.wh..wh..opq", "").finish());
  EXPECT_TRUE(is_opaque("d"));
  EXPECT_TRUE(fs::exists(target() / "d/f"));
  EXPECT_FALSE(fs::exists(target() / "d/e"));
  EXPECT_FALSE(fs::exists(target() / "d/x"));  // its mark went with the folder that was replaced
}

TEST_F(HostileLayer, SmallMembersAndFramesByTheThousandAreBounded) {
  UnpackOptions tight = options();
  tight.limits.bytes = 1 << 20;
  std::string bomb;
  const std::string member = gzip(std::string(4096, '\0')), frame = zstd(std::string(4096, '\0'));
  for (int i = 0; i < 1000; ++i) bomb += member;
  EXPECT_THROW(unpack_layer(reader_of(bomb), target(), {}, {}, tight), Error);
  bomb.clear();
  for (int i = 0; i < 1000; ++i) bomb += frame;
  EXPECT_THROW(unpack_layer(reader_of(bomb), target(), {}, {}, tight), Error);
  // Members without content cost their own bytes only.
  std::string empty;
  for (int i = 0; i < 10'000; ++i) empty += gzip("");
  const std::string tar = TarBuilder().file("f", "f").finish();
  unpack_layer(reader_of(empty + gzip(tar)), target(), {}, sha256(tar), options());
  EXPECT_EQ(read_file(target() / "f"), "f");
}

TEST_F(HostileLayer, WhatFollowsTheArchivesEndIsPartOfItsDigest) {
  const std::string tar = TarBuilder().file("f", "f").finish() + TarBuilder().file("g", "g").finish();
  unpack_layer(reader_of(tar), target(), {}, sha256(tar), options());
  EXPECT_FALSE(fs::exists(target() / "g"));
}

TEST_F(HostileLayer, DevicesAreLeftOutWithoutPrivileges) {
  UnpackOptions rootless;
  rootless.privileged = false;
  const UnpackReport report =
      unpack_layer(reader_of(TarBuilder()
                                 .add({.name = "sda", .type = '4', .major = 8})
                                 .add({.name = "kmem", .type = '3', .major = 1, .minor = 2})
                                 .add({.name = "fifo", .type = '6'})
                                 .finish()),
                   target(), {}, {}, rootless);
  EXPECT_EQ(report.skipped_devices, 2u);
  EXPECT_FALSE(fs::exists(target() / "sda"));
  EXPECT_TRUE(S_ISFIFO(stat_of("fifo").st_mode));
}

}  // namespace
}  // namespace kiln::registry
