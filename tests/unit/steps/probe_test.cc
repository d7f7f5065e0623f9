#include "steps/probe.h"

#include <gtest/gtest.h>

namespace kiln::steps {
namespace {

using namespace std::chrono_literals;
using Verdict = ProbeCount::Verdict;
using Moment = ProbeCount::Moment;

const Moment kStart{1h};

TEST(ProbeCount, WaitsForTheInitialDelayAndPassesAfterEnoughInARow) {
  const Probe probe{.initial_delay = 5s, .period = 2s, .success_threshold = 2};
  ProbeCount count(probe, kStart);
  EXPECT_EQ(count.due(), kStart + 5s);
  EXPECT_EQ(count.take(true, kStart + 5s), Verdict::Open);
  EXPECT_EQ(count.due(), kStart + 7s);
  EXPECT_EQ(count.take(false, kStart + 7s), Verdict::Open);
  EXPECT_EQ(count.take(true, kStart + 9s), Verdict::Open) << "not in a row";
  EXPECT_EQ(count.take(true, kStart + 11s), Verdict::Passed);
}

TEST(ProbeCount, CountsOneFailureAPeriodHoweverOftenItAsks) {
  const Probe probe{.period = 10s, .failure_threshold = 3};
  ProbeCount count(probe, kStart);
  Moment now = kStart;
  int asked = 0, counted = 0;
  while (count.take(false, now) == Verdict::Open) {
    ++asked;
    counted += count.counted();
    ASSERT_GT(count.due(), now);
    ASSERT_LE(count.due(), now + 10s);
    now = count.due();
  }
  EXPECT_EQ(now, kStart + 20s) << "the third period's";
  EXPECT_EQ(counted, 2);
  EXPECT_GT(asked, 10);
}

TEST(ProbeCount, ASuccessForgetsFailures) {
  const Probe probe{.period = 1s, .failure_threshold = 2};
  ProbeCount count(probe, kStart);
  EXPECT_EQ(count.take(false, kStart), Verdict::Open);
  EXPECT_EQ(count.take(true, kStart + 1s), Verdict::Passed);
  EXPECT_EQ(count.take(false, kStart + 2s), Verdict::Open);
  EXPECT_EQ(count.take(false, kStart + 3s), Verdict::Failed);
}

}  // namespace
}  // namespace kiln::steps
