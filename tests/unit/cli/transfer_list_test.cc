#include "cli/transfer_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace kiln::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;
using Event = registry::TransferEvent;
using Kind = Event::Kind;

constexpr uint64_t kMiB = 1 << 20;

class TransferListTest : public testing::Test {
 protected:
  std::string take(Kind kind, const std::string& blob, uint64_t done = 0) {
    return list.take({kind, sha256(blob), done, 40 * kMiB, std::string(registry::media::kLayerGzip)}, now);
  }
  static std::string begin(const std::string& blob) { return sha256(blob).short_text() + " layer"; }

  Time now{};
  TransferList list{now};
};

TEST_F(TransferListTest, ShowsWhatMovesBeforeWhatWaits) {
  for (const char* blob : {"a", "b", "c"}) EXPECT_EQ(take(Kind::Waiting, blob), "");
  take(Kind::Progress, "b", 0);
  now += std::chrono::seconds(2);
  take(Kind::Progress, "b", 10 * kMiB);
  const auto lines = list.draw(now, {200, 24});
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0], begin("b") + "   [=====>              ] 10.0 MiB / 40.0 MiB  5.0 MiB/s");
  EXPECT_THAT(lines[1], StartsWith(begin("a")));
  EXPECT_THAT(lines[1], HasSubstr("waiting"));
}

TEST_F(TransferListTest, SaysWhatBecameOfEach) {
  for (const char* blob : {"a", "b", "c", "d"}) take(Kind::Waiting, blob);
  take(Kind::Progress, "a", 0);
  now += std::chrono::seconds(4);
  EXPECT_EQ(take(Kind::Done, "a"), begin("a") + "   40.0 MiB  10.0 MiB/s");
  EXPECT_EQ(take(Kind::Present, "b"), begin("b") + "   40.0 MiB  exists");
  EXPECT_EQ(take(Kind::Mounted, "c"), begin("c") + "   40.0 MiB  mounted");
  EXPECT_THAT(take(Kind::Elsewhere, "d"), HasSubstr("not distributed"));
  EXPECT_TRUE(list.draw(now, {}).empty());
  EXPECT_EQ(list.summary(now),
            "1 blob moved (40.0 MiB in 4.0 s), 1 blob there already, 1 blob mounted, 1 blob not distributed");
  EXPECT_EQ(list.to_json()["bytes"], 40 * kMiB);
}

TEST_F(TransferListTest, NothingToDoIsSaid) {
  EXPECT_EQ(list.summary(now), "unchanged (CACHED)");
  take(Kind::Present, "a");
  EXPECT_EQ(list.summary(now), "1 blob there already (CACHED)");
  EXPECT_EQ(list.take({Kind::Done, sha256("m"), 9, 9, std::string(registry::media::kManifest)}, now), "")
      << "manifests are no blobs";
}

TEST_F(TransferListTest, FitsIntoSmallTerminals) {
  for (int i = 0; i < 50; ++i) take(Kind::Progress, std::to_string(i), kMiB);
  const auto lines = list.draw(now, {30, 10});
  EXPECT_EQ(lines.size(), 8u);
  EXPECT_EQ(lines.back(), "… and 43 more");
  EXPECT_LE(lines[0].size(), 32u);
}

}  // namespace
}  // namespace kiln::cli
