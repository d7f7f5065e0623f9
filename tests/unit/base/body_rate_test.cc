#include "base/body_rate.h"

#include <gtest/gtest.h>

namespace kiln::detail {
namespace {

using namespace std::chrono_literals;

TEST(BodyRate, IsTooLowForWhoSendsAByteNowAndThen) {
  BodyRate rate;
  EXPECT_TRUE(rate.add(59s, 1));
  EXPECT_FALSE(rate.add(59s, 1));
}

TEST(BodyRate, LetsSlowButHonestClientsGoOn) {
  BodyRate rate;
  for (int second = 0; second < 600; ++second) EXPECT_TRUE(rate.add(1s, 64)) << second;
}

TEST(BodyRate, IsNotSavedUpForLater) {
  BodyRate rate;
  EXPECT_TRUE(rate.add(60s, 1u << 30));
  EXPECT_TRUE(rate.add(59s, 1));
  EXPECT_FALSE(rate.add(1s, 1));
}

}  // namespace
}  // namespace kiln::detail
