#include "registry/store/snapshots.h"

#include <filesystem>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <thread>

#include "base/error.h"
#include "base/fs.h"
#include "registry/image.h"
#include "registry/store/store.h"
#include "tests/unit/registry/unpack_fixture.h"

namespace kiln::registry {
namespace {

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

mode_t mode_of(const fs::path& path) {
  struct stat st {};
  EXPECT_EQ(::lstat(path.c_str(), &st), 0) << path;
  return st.st_mode & 07777;
}

TEST(Snapshots, AFolderThatALayerDoesNotDescribeStaysAsTheOneBelow) {
  TempDir dir;
  Store store(dir.path());
  const auto base = TarBuilder().folder("tmp/", 01777).folder("sec/", 0700).folder("plain/", 0755).finish();
  const auto top = TarBuilder().file("tmp/x", "x").file("sec/new", "n").file("plain/p", "p").finish();
  const auto folders = Snapshots(store).prepare(image_of(store, {base, top}));
  ASSERT_EQ(folders.size(), 2u);
  EXPECT_EQ(read_file(folders[0] / "tmp/x"), "x");
  EXPECT_EQ(mode_of(folders[0] / "tmp"), 01777u);
  EXPECT_EQ(mode_of(folders[0] / "sec"), 0700u);
  EXPECT_EQ(mode_of(folders[0] / "plain"), 0755u);
  // By itself, and on top of others, the same layer is what it was.
  const auto other = Snapshots(store).prepare(image_of(store, {TarBuilder().folder("sec/").finish(), top}));
  EXPECT_EQ(mode_of(other[0] / "sec"), 0755u);
  EXPECT_EQ(Snapshots(store).prepare(image_of(store, {base, top})), folders);
}

TEST(Snapshots, OneThatDoesNotSayWhatItImpliesIsNotPutOnOthers) {
  TempDir dir;
  Store store(dir.path());
  const auto top = TarBuilder().file("sec/new", "n").finish();
  const auto alone = Snapshots(store).prepare(image_of(store, {top}));
  ASSERT_TRUE(fs::remove(alone[0].parent_path() / "implied"));  // as Kiln made them once
  const auto base = TarBuilder().folder("sec/", 0700).finish();
  EXPECT_EQ(mode_of(Snapshots(store).prepare(image_of(store, {base, top}))[0] / "sec"), 0700u);
}

TEST(Snapshots, AWhiteoutInAPrivateFolderLeavesItPrivate) {
  TempDir dir;
  Store store(dir.path());
  const auto base = TarBuilder().folder("sec/", 0700).file("sec/k", "k").finish();
  for (const char* name : {"sec/.wh.k", "sec/.wh..wh..opq"}) {
    const auto folders =
        Snapshots(store).prepare(image_of(store, {base, TarBuilder().file(name, "").finish()}));
    EXPECT_EQ(mode_of(folders[0] / "sec"), 0700u) << name;
  }
}

TEST(Snapshots, WhatALayerHidesLendsItNothing) {
  TempDir dir;
  Store store(dir.path());
  const auto base = TarBuilder().folder("a/", 0700).folder("a/b/", 0700).folder("w/", 0700).finish();
  const auto top =
      TarBuilder().file("a/.wh..wh..opq", "").file("a/b/x", "x").file(".wh.w", "").file("w/x", "x").finish();
  const auto folders = Snapshots(store).prepare(image_of(store, {base, top}));
  EXPECT_EQ(mode_of(folders[0] / "a"), 0700u);
  EXPECT_EQ(mode_of(folders[0] / "a/b"), 0755u);
  EXPECT_EQ(mode_of(folders[0] / "w"), 0755u);
}

TEST(Snapshots, ALayerMayLinkToAFileBelow) {
  TempDir dir;
  Store store(dir.path());
  const auto base = TarBuilder().folder("d/", 0710).file("d/a", "below", 0640).finish();
  const auto top = TarBuilder().hardlink("z", "d/a").finish();
  const Image image = image_of(store, {base, top});
  for (int time = 0; time < 2; ++time) {  // unpacked, and found
    const auto folders = Snapshots(store).prepare(image);
    EXPECT_EQ(read_file(folders[0] / "z"), "below");
    EXPECT_EQ(mode_of(folders[0] / "z"), 0640u);
    EXPECT_EQ(mode_of(folders[0] / "d"), 0710u);
    struct stat z, a;
    ::stat((folders[0] / "z").c_str(), &z);
    ::stat((folders[0] / "d/a").c_str(), &a);
    EXPECT_EQ(z.st_ino, a.st_ino);
  }
  EXPECT_THROW(Snapshots(store).prepare(image_of(store, {TarBuilder().file("x", "").finish(), top})), Error);
  EXPECT_THROW(Snapshots(store).prepare(image_of(store, {top})), Error);
}

TEST(Snapshots, AnEntryBelowALinkOfALowerLayerGoesWhereItLeads) {
  TempDir dir;
  Store store(dir.path());
  const auto base = TarBuilder().folder("usr/").folder("usr/lib/", 0751).symlink("lib", "usr/lib").finish();
  const auto folders =
      Snapshots(store).prepare(image_of(store, {base, TarBuilder().file("lib/new", "n").finish()}));
  EXPECT_EQ(read_file(folders[0] / "usr/lib/new"), "n");
  EXPECT_EQ(fs::read_symlink(folders[0] / "lib"), "usr/lib");
  EXPECT_EQ(mode_of(folders[0] / "usr/lib"), 0751u);
  const auto both = TarBuilder().symlink("lk", "../usr/./lib").file("lk/new", "n").finish();
  EXPECT_EQ(read_file(Snapshots(store).prepare(image_of(store, {base, both}))[0] / "usr/lib/new"), "n");
  const auto circle = TarBuilder().symlink("a", "b").symlink("b", "a").finish();
  EXPECT_THROW(Snapshots(store).prepare(image_of(store, {circle, TarBuilder().file("a/x", "x").finish()})),
               Error);
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
