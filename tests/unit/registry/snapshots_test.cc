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
