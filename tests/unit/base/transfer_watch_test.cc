#include "base/transfer_watch.h"

#include <gtest/gtest.h>

namespace kiln {
namespace {

using namespace std::chrono_literals;

TEST(TransferWatch, WhoSendsNothingForSoLongIsTooSlow) {
  const TransferWatch::Moment start{};
  TransferWatch watch(60s, 0, start);
  EXPECT_FALSE(watch.is_too_slow(start + 59s, 0));
  EXPECT_FALSE(watch.is_too_slow(start + 59s, 1));
  EXPECT_FALSE(watch.is_too_slow(start + 118s, 1));
  EXPECT_TRUE(watch.is_too_slow(start + 119s, 1));
}

TEST(TransferWatch, AByteNowAndThenIsTooSlow) {
  TransferWatch::Moment now{};
  TransferWatch watch(60s, 1024, now);
  uint64_t bytes = 0;
  while (!watch.is_too_slow(now += 500ms, ++bytes)) ASSERT_LT(bytes, 1000u);
  EXPECT_EQ(bytes, 120u) << "one whole minute of two bytes a second";
}

TEST(TransferWatch, ASlowLineIsNot) {
  TransferWatch::Moment now{};
  TransferWatch watch(60s, 1024, now);
  for (uint64_t bytes = 0; bytes < 10'000'000; bytes += 1500)
    ASSERT_FALSE(watch.is_too_slow(now += 1s, bytes));
}

}  // namespace
}  // namespace kiln
