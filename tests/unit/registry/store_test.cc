#include "registry/store/store.h"

#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sys/resource.h>
#include <sys/xattr.h>
#include <thread>

#include "base/error.h"
#include "base/fs.h"

namespace kiln::registry {
namespace {

size_t files_below(const fs::path& folder) {
  size_t count = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) count += entry.is_regular_file();
  return count;
}

TEST(Store, IsAnImageLayout) {
  TempDir dir;
  Store store(dir.path() / "store");
  EXPECT_EQ(read_file(dir.path() / "store/oci-layout"), R"({"imageLayoutVersion":"1.0.0"})");
  EXPECT_THAT(read_file(dir.path() / "store/index.json"), testing::HasSubstr("\"manifests\":[]"));
  Store again(dir.path() / "store");
  EXPECT_TRUE(again.list().empty());
}

TEST(Store, KeepsWhatIsCommittedAndNothingElse) {
  TempDir dir;
  Store store(dir.path());
  {
    BlobWriter writer = store.begin_blob();
    writer.write("hel");
    writer.write("lo");
    EXPECT_EQ(writer.commit(), sha256("hello"));
  }
  EXPECT_EQ(store.read(sha256("hello")), "hello");
  EXPECT_EQ(store.size(sha256("hello")), 5u);
  {
    BlobWriter dropped = store.begin_blob();
    dropped.write("gone");
  }
  BlobWriter wrong = store.begin_blob();
  wrong.write("other");
  EXPECT_THROW(wrong.commit(sha256("hello")), Error);
  EXPECT_FALSE(store.has(sha256("gone")));
  EXPECT_FALSE(store.has(sha256("other")));
  { BlobWriter last = std::move(wrong); }
  EXPECT_EQ(files_below(dir.path() / "uploads"), 0u);
}

TEST(Store, ABlobThatAnUpdateWillNameIsThereAtOnceAndCheckedAlike) {
  TempDir dir;
  Store store(dir.path());
  for (const bool again : {false, true}) {
    BlobWriter writer = store.begin_blob();
    writer.write("manifest");
    EXPECT_EQ(writer.commit_before_update(sha256("manifest")), sha256("manifest")) << again;
    EXPECT_EQ(store.read(sha256("manifest")), "manifest");
  }
  store.tag("x", {std::string(media::kManifest), sha256("manifest"), 8, {}, {}, {}, {}});
  store.tag("x", {std::string(media::kManifest), sha256("manifest"), 8, {}, {}, {}, {}});
  EXPECT_TRUE(Store(dir.path()).has(store.resolve("x")->digest));
  BlobWriter wrong = store.begin_blob();
  wrong.write("other");
  EXPECT_THROW(wrong.commit_before_update(sha256("manifest")), Error);
  EXPECT_FALSE(store.has(sha256("other")));
}

TEST(Store, TakesSha512Blobs) {
  TempDir dir;
  Store store(dir.path());
  BlobWriter writer = store.begin_blob("sha512");
  writer.write("x");
  const Digest digest = writer.commit();
  EXPECT_EQ(digest.algorithm(), "sha512");
  EXPECT_EQ(store.read(digest), "x");
}

TEST(Store, NoticesDamagedBlobs) {
  TempDir dir;
  Store store(dir.path());
  const Descriptor blob = store.put("content", "x/y");
  store.verify(blob.digest);
  write_file(store.blob_path(blob.digest), "tampered");
  EXPECT_THROW(store.read(blob.digest), Error);
  EXPECT_THROW(store.verify(blob.digest), Error);
  EXPECT_THROW(store.read(sha256("absent")), Error);
}

void flip_a_bit(const fs::path& file) {
  std::string bytes = read_file(file);
  bytes[bytes.size() / 2] ^= 1;
  write_file(file, bytes);
}

// A store with one blob.
class StoreWithABlob : public testing::Test {
 protected:
  TempDir dir_;
  Store store_{dir_.path()};
  const Digest digest_ = store_.put("content", "x/y").digest;
};

TEST_F(StoreWithABlob, PutsItAsideWhenItIsDamagedAndTakesItAnew) {
  for (const bool by_reading : {true, false}) {
    flip_a_bit(store_.blob_path(digest_));
    EXPECT_TRUE(store_.has(digest_));
    EXPECT_THROW(by_reading ? (void)store_.read(digest_) : store_.verify(digest_), Error);
    EXPECT_FALSE(store_.has(digest_));
    EXPECT_FALSE(store_.keep(digest_));
    EXPECT_TRUE(fs::exists(dir_.path() / "quarantine/sha256" / digest_.encoded()));
    store_.put("content", "x/y");
    EXPECT_EQ(store_.read(digest_), "content");
  }
}

TEST_F(StoreWithABlob, IsHealedByAWriterWhoseContentHasTheSameSize) {
  flip_a_bit(store_.blob_path(digest_));
  BlobWriter writer = store_.begin_blob();
  writer.write("content");
  writer.commit(digest_);
  EXPECT_EQ(store_.read(digest_), "content");
  flip_a_bit(store_.blob_path(digest_));
  store_.put("content", "x/y");
  EXPECT_EQ(store_.read(digest_), "content");
}

TEST_F(StoreWithABlob, IsYoungAgainAndStillKnownToBeGoodWhenItIsKept) {
  const auto long_ago = fs::file_time_type::clock::now() - std::chrono::hours(5);
  fs::last_write_time(store_.blob_path(digest_), long_ago);
  EXPECT_TRUE(store_.heal(digest_));
  EXPECT_TRUE(store_.keep(digest_));
  EXPECT_GT(fs::last_write_time(store_.blob_path(digest_)), long_ago + std::chrono::hours(4));
  EXPECT_FALSE(store_.keep(sha256("absent")));
  EXPECT_FALSE(store_.heal(sha256("absent")));
}

TEST(Store, WhatOneProcessFoundGoodLaterOnesNeedNotRead) {
  TempDir dir;
  const std::string content(2 << 20, 'k');
  const Digest digest = Store(dir.path()).put(content, "x/y").digest;
  const fs::path file = Store(dir.path()).blob_path(digest);
  char value[128];
  if (::getxattr(file.c_str(), "user.kiln.verified", value, sizeof value) < 0)
    GTEST_SKIP() << "this file system has no user attributes";
  // Rot that no stat shows: a search for damage reads everything all the same.
  const auto time = fs::last_write_time(file);
  flip_a_bit(file);
  EXPECT_FALSE(Store(dir.path()).heal(digest));  // written to: another time
  Store(dir.path()).put(content, "x/y");
  const auto again = fs::last_write_time(file);
  flip_a_bit(file);
  fs::last_write_time(file, again);
  EXPECT_NE(time, again);
  EXPECT_TRUE(Store(dir.path()).heal(digest));
  EXPECT_FALSE(Store(dir.path()).heal(digest, /*read_anew=*/true));
  EXPECT_FALSE(Store(dir.path()).has(digest));
}

TEST(Store, NamesPointAtManifests) {
  TempDir dir;
  Store store(dir.path());
  const Descriptor one = store.put("1", media::kManifest), two = store.put("2", media::kManifest);
  store.tag("b:latest", one);
  store.tag("a:latest", one);
  store.tag("b:latest", two);
  ASSERT_EQ(store.list().size(), 2u);
  EXPECT_EQ(store.list()[0].first, "a:latest");
  EXPECT_EQ(store.resolve("b:latest"), two);
  EXPECT_EQ(store.resolve("c:latest"), std::nullopt);
  EXPECT_TRUE(store.untag("b:latest"));
  EXPECT_FALSE(store.untag("b:latest"));
  EXPECT_EQ(Store(dir.path()).resolve("a:latest"), one);
}

TEST(Store, ConcurrentTaggersLoseNothing) {
  TempDir dir;
  Store store(dir.path());
  const Descriptor blob = store.put("1", media::kManifest);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      Store own(dir.path());
      for (int i = 0; i < 5; ++i) own.tag("n" + std::to_string(t) + "-" + std::to_string(i), blob);
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(store.list().size(), 20u);
}

TEST(Store, ChangesOfManyThreadsAreAllKeptAndOneThatThrowsHarmsNoOther) {
  TempDir dir;
  Store store(dir.path());
  const Descriptor blob = store.put("1", media::kManifest);
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 10; ++i) {
        store.tag("n" + std::to_string(t) + ":" + std::to_string(i), blob);
        EXPECT_THROW(store.update([](IndexEdit&) { throw Error(ErrorKind::Failed, "no"); }), Error);
      }
      EXPECT_TRUE(store.untag("n" + std::to_string(t) + ":0"));
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(store.list().size(), 72u);
  EXPECT_EQ(Store(dir.path()).list(), store.list());
}

TEST(Store, AChangeThatCouldNotBeWrittenDoesNotComeWithTheNextOne) {
  TempDir dir;
  Store store(dir.path());
  const Descriptor blob = store.put("1", media::kManifest);
  store.tag("a:1", blob);
  struct rlimit before {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto ignored = std::signal(SIGXFSZ, SIG_IGN);
  const struct rlimit full { 1, before.rlim_max };
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &full), 0);
  EXPECT_THROW(store.tag("a:2", blob), Error);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, ignored);
  EXPECT_FALSE(store.resolve("a:2"));
  store.tag("a:3", blob);
  EXPECT_EQ(store.list().size(), 2u);
  EXPECT_EQ(Store(dir.path()).list(), store.list());
}

TEST(Store, ChangesOfOthersBetweenOnesOwnHold) {
  TempDir dir;
  Store store(dir.path()), other(dir.path());
  const Descriptor blob = store.put("1", media::kManifest);
  for (const char* name : {"a:1", "a:2"}) {
    store.tag(name, blob);
    other.tag(std::string(name) + "-other", blob);
  }
  EXPECT_TRUE(store.untag("a:1-other"));
  EXPECT_FALSE(other.untag("a:1-other"));
  EXPECT_EQ(store.list().size(), 3u);
  EXPECT_EQ(store.list(), other.list());
}

TEST(Store, ReadsTheIndexAgainOnlyWhenItChanged) {
  TempDir dir;
  Store store(dir.path()), other(dir.path());
  const Descriptor blob = store.put("1", media::kManifest);
  store.tag("a:1", blob);
  const auto index = store.index();
  EXPECT_EQ(store.index(), index);
  store.tag("a:1", blob);  // no change
  EXPECT_EQ(store.index(), index);
  for (const char* name : {"a:2", "a:3", "a:4"}) {  // within one tick of the file system's clock
    other.tag(name, blob);
    EXPECT_TRUE(store.resolve(name)) << name;
  }
  EXPECT_EQ(index->entries().size(), 1u);  // what is held does not change
  EXPECT_EQ(store.index()->of_repository("a").size(), 4u);
  EXPECT_TRUE(store.index()->of_repository("b").empty());
}

TEST(Store, WhatOtherToolsWroteIntoTheIndexStays) {
  TempDir dir;
  Store store(dir.path());
  const Descriptor blob = store.put("1", media::kManifest);
  const auto entry = [&](const std::string& more) {
    return R"({"mediaType":"m","digest":")" + blob.digest.text() + R"(","size":1,)" + more + "}";
  };
  const std::string foreign = entry(R"("artifactType":"x/y","data":"MQ==","platform":{"os":"linux",)"
                                    R"("architecture":"arm","os.version":"7"})");
  write_file(dir.path() / "index.json",
             R"({"schemaVersion":2,"annotations":{"by":"another tool"},"manifests":[)" + foreign + "," +
                 entry(R"("annotations":{"org.opencontainers.image.ref.name":"old:1"})") + "]}");
  store.tag("new:1", blob);
  store.untag("old:1");
  const auto index = nlohmann::json::parse(read_file(dir.path() / "index.json"));
  EXPECT_EQ(index["annotations"]["by"], "another tool");
  ASSERT_EQ(index["manifests"].size(), 2u);
  EXPECT_EQ(index["manifests"][0], nlohmann::json::parse(foreign));
  EXPECT_EQ(index["manifests"][1]["annotations"][Store::kRefName], "new:1");
}

TEST(Store, SweepsOnlyUploadsThatNobodyWrites) {
  TempDir dir;
  Store store(dir.path());
  const auto long_ago = fs::file_time_type::clock::now() - std::chrono::hours(5);
  BlobWriter live = store.begin_blob();
  for (const auto& entry : fs::directory_iterator(dir.path() / "uploads"))
    fs::last_write_time(entry, long_ago);
  write_file(dir.path() / "uploads/dead", "x");
  fs::last_write_time(dir.path() / "uploads/dead", long_ago);
  write_file(dir.path() / "uploads/young", "x");
  store.remove_abandoned_uploads();
  EXPECT_FALSE(fs::exists(dir.path() / "uploads/dead"));
  EXPECT_EQ(files_below(dir.path() / "uploads"), 2u);
  EXPECT_NO_THROW(live.commit());
}

TEST(Store, LoadsAnImageThroughAnIndex) {
  TempDir dir;
  Store store(dir.path());
  ImageConfig config;
  config.architecture = machine_architecture();
  config.cmd = {"run"};
  Manifest manifest{std::string(media::kManifest), store.put(serialize(config), media::kConfig), {}, {}};
  const Descriptor inner = store.put(serialize(manifest), media::kManifest);
  const Descriptor index =
      store.put(R"({"schemaVersion":2,"manifests":[{"mediaType":")" + std::string(media::kManifest) +
                    R"(","digest":")" + inner.digest.text() + R"(","size":)" + std::to_string(inner.size) +
                    R"(,"platform":{"os":"linux","architecture":")" + machine_architecture() + R"("}}]})",
                media::kIndex);
  const Image image = store.load(index);
  EXPECT_EQ(image.descriptor.digest, inner.digest);
  EXPECT_EQ(image.config.cmd, std::vector<std::string>{"run"});
}

}  // namespace
}  // namespace kiln::registry
