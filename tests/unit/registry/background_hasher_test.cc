#include "registry/background_hasher.h"

#include <gtest/gtest.h>

namespace kiln::registry {
namespace {

TEST(BackgroundHasherTest, PiecesAndTextsAreHashedInTheirOrder) {
  BackgroundHasher hasher("sha256");
  std::string all, piece;
  for (int i = 0; i < 100; ++i) {
    piece.assign(10'000, static_cast<char>(i));
    all += piece;
    piece = hasher.update_later(std::move(piece));
    EXPECT_TRUE(piece.empty());
    EXPECT_GE(piece.capacity(), 10'000u);
    if (i % 10 != 0) continue;
    hasher.update("between");
    all += "between";
  }
  EXPECT_EQ(hasher.finish(), sha256(all));
}

TEST(BackgroundHasherTest, StartsAnewAfterItsDigest) {
  BackgroundHasher hasher("sha256");
  hasher.update_later("first");
  hasher.finish();
  hasher.update_later("second");
  EXPECT_EQ(hasher.finish(), sha256("second"));
}

TEST(BackgroundHasherTest, GoesOnWhereAHasherStands) {
  Hasher before;
  before.update("first ");
  BackgroundHasher hasher(std::move(before));
  hasher.update_later("second");
  EXPECT_EQ(hasher.finish(), sha256("first second"));
}

TEST(BackgroundHasherTest, GoesOnAfterARest) {
  BackgroundHasher hasher("sha256");
  hasher.rest();
  hasher.update_later("first ");
  hasher.rest();
  hasher.rest();
  hasher.update("second ");
  hasher.update_later("third");
  EXPECT_EQ(hasher.finish(), sha256("first second third"));
}

TEST(BackgroundHasherTest, MayGoWhilePiecesWait) {
  BackgroundHasher hasher("sha512");
  for (int i = 0; i < 10; ++i) hasher.update_later(std::string(1 << 20, 'x'));
}

}  // namespace
}  // namespace kiln::registry
