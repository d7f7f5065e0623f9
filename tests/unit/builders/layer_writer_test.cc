#include "builders/layer_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <random>

#include "base/fs.h"
#include "base/process.h"
#include "builders/tree_entries.h"
#include "registry/store/store.h"
#include "tests/unit/builders/tar_reader.h"

namespace kiln::builders {
namespace {

// Half text, half noise, so that chunks differ in how far they shrink.
std::string sample(size_t size, unsigned seed = 1) {
  std::mt19937 random(seed);
  std::string bytes;
  bytes.reserve(size);
  while (bytes.size() < size)
    if (bytes.size() / 65536 % 2)
      bytes += static_cast<char>(random());
    else
      bytes += "the quick brown fox " + std::to_string(random() % 100);
  bytes.resize(size);
  return bytes;
}

std::string tar_with(const std::string& content) {
  std::string bytes;
  TarWriter tar([&](std::string_view piece) { bytes += piece; });
  tar.entry({.name = "file", .size = content.size()});
  tar.content(content);
  tar.finish();
  return bytes;
}

class LayerWriterTest : public testing::Test {
 protected:
  Layer write(const std::string& bytes, unsigned threads = 0, size_t piece = 100'000) {
    LayerWriter writer(store, threads);
    for (size_t at = 0; at < bytes.size(); at += piece)
      writer.write(std::string_view(bytes).substr(at, piece));
    return writer.finish();
  }
  std::string blob(const Layer& layer) { return read_file(store.blob_path(layer.descriptor.digest)); }

  TempDir dir;
  registry::Store store{dir.path() / "store"};
};

TEST_F(LayerWriterTest, BytesDoNotDependOnThreadsOrOnHowTheyCame) {
  const std::string bytes = sample(5'300'000);
  const Digest one = write(bytes, 1).descriptor.digest;
  for (const unsigned threads : {2u, 3u, 8u}) EXPECT_EQ(write(bytes, threads).descriptor.digest, one);
  EXPECT_EQ(write(bytes, 4, 511).descriptor.digest, one);
  EXPECT_EQ(write(bytes, 4, bytes.size()).descriptor.digest, one);
}

TEST_F(LayerWriterTest, ManyChunksAreOneGzipMember) {
  if (!find_program("gzip")) GTEST_SKIP() << "gzip is not installed";
  const std::string bytes = tar_with(sample(3'700'000));
  const Layer layer = write(bytes);
  const std::string path = store.blob_path(layer.descriptor.digest).string();
  const Finished test =
      run({.argv = {"gzip", "-t", "-v"}, .environment = {}, .directory = {}, .input = blob(layer)});
  EXPECT_TRUE(test.ok()) << test.errors;
  // `gzip -l` reads the length at the very end: it is the whole one only when there is a single member.
  fs::copy_file(path, dir.path() / "layer.gz");
  const Finished listed = run({.argv = {"gzip", "-l", (dir.path() / "layer.gz").string()},
                               .environment = {},
                               .directory = {},
                               .input = {}});
  EXPECT_THAT(listed.output, testing::HasSubstr(std::to_string(bytes.size())));
  const auto entries = read_tar(blob(layer));
  ASSERT_EQ(entries.size(), 1u);
  EXPECT_EQ(sha256(entries[0].content), sha256(sample(3'700'000)));
}

TEST_F(LayerWriterTest, TellsDiffIdSizesAndMediaType) {
  const std::string bytes = tar_with("hello");
  LayerWriter writer(store);
  writer.write(bytes);
  EXPECT_EQ(writer.diff_id(), sha256(bytes));
  const Layer layer = writer.finish();
  EXPECT_EQ(layer.diff_id, sha256(bytes));
  EXPECT_EQ(layer.uncompressed_size, bytes.size());
  EXPECT_EQ(layer.descriptor.digest, sha256(blob(layer)));
  EXPECT_EQ(layer.descriptor.size, blob(layer).size());
  EXPECT_EQ(layer.descriptor.media_type, registry::media::kLayerGzip);
}

TEST_F(LayerWriterTest, SizesAroundTheChunkAndNothingAtAllWork) {
  for (const size_t size :
       {size_t{0}, size_t{1}, size_t{1} << 20, (size_t{1} << 20) - 1, (size_t{1} << 20) + 1}) {
    const Finished out = run(
        {.argv = {"gzip", "-dc"}, .environment = {}, .directory = {}, .input = blob(write(sample(size)))});
    ASSERT_TRUE(out.ok()) << size << ": " << out.errors;
    EXPECT_EQ(sha256(out.output), sha256(sample(size))) << size;
  }
}

TEST_F(LayerWriterTest, DroppedBeforeItsEndNothingReachesTheStore) {
  {
    LayerWriter writer(store);
    writer.write(sample(6'000'000));
  }
  EXPECT_TRUE(fs::is_empty(store.root() / "blobs" / "sha256"));
  EXPECT_TRUE(fs::is_empty(store.root() / "uploads"));
}

class LayerCacheTest : public LayerWriterTest {
 protected:
  LayerCache cache{store, dir.path() / "cache"};
  int filled = 0;
  Layer make(const std::string& key, const std::string& content, bool& reused) {
    return store_layer(
        store, cache, key,
        [&](TarWriter& tar) {
          ++filled;
          tar.entry({.name = "f", .size = content.size()});
          if (!content.empty()) tar.content(content);
        },
        reused);
  }
};

TEST_F(LayerCacheTest, AKnownKeyIsNotEvenRead) {
  bool reused = true;
  const Layer first = make("key", "content", reused);
  EXPECT_FALSE(reused);
  const Layer second = make("key", "content", reused);
  EXPECT_TRUE(reused);
  EXPECT_EQ(filled, 1);
  EXPECT_EQ(second.descriptor, first.descriptor);
  EXPECT_EQ(second.diff_id, first.diff_id);
}

TEST_F(LayerCacheTest, AKnownTarIsReadButNotStoredAgain) {
  bool reused = true;
  const Layer first = make("one", "content", reused);
  const Layer second = make("two", "content", reused);
  EXPECT_TRUE(reused);
  EXPECT_EQ(filled, 2);
  EXPECT_EQ(second.descriptor, first.descriptor);
  make("two", "content", reused);  // the second key is known from now on
  EXPECT_EQ(filled, 2);
}

TEST_F(LayerCacheTest, WithoutItsBlobAnEntryIsAbsent) {
  bool reused = true;
  const Layer layer = make("key", "content", reused);
  store.remove_blob(layer.descriptor.digest);
  EXPECT_FALSE(cache.find("key"));
  EXPECT_FALSE(cache.find(layer.diff_id));
  EXPECT_EQ(make("key", "content", reused).descriptor, layer.descriptor);
  EXPECT_FALSE(reused);
  EXPECT_TRUE(store.has(layer.descriptor.digest));
}

TEST_F(LayerCacheTest, ADamagedEntryIsAbsent) {
  bool reused = true;
  make("key", "content", reused);
  for (const char* damage : {"", "{", "[]", "{\"descriptor\":{},\"diffID\":\"sha256:00\",\"size\":-1}"}) {
    for (const auto& entry : fs::directory_iterator(dir.path() / "cache")) write_file(entry.path(), damage);
    EXPECT_FALSE(cache.find("key")) << damage;
  }
}

}  // namespace
}  // namespace kiln::builders
