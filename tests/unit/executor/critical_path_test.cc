#include "executor/critical_path.h"

#include <gtest/gtest.h>

#include "tests/unit/executor/support.h"

namespace kiln::executor {
namespace {

using testing::index_of;
using testing::plan_of;
using testing::task;

class CriticalPathTest : public ::testing::Test {
 protected:
  static Time at(int second) { return Time(std::chrono::hours(100)) + std::chrono::seconds(second); }

  void ran(const std::string& name, int from, int to) {
    TaskState& task = state.tasks[index_of(plan, name)];
    task.phase = Phase::Succeeded;
    task.started = at(from);
    task.finished = at(to);
  }
  std::string path() const {
    std::string out;
    for (const PathLink& link : critical_path(plan, state)) {
      out += plan.tasks[link.task].name + " " + std::to_string(static_cast<int>(seconds(link.took)));
      if (link.waited > Duration{}) out += " after " + std::to_string(static_cast<int>(seconds(link.waited)));
      out += "; ";
    }
    return out;
  }

  dag::Plan plan =
      plan_of("  tasks:\n" + task("a") + task("b") + task("c, runAfter: [a, b]") + task("d, runAfter: [a]") +
              task("e, runAfter: [c, d]") + "  finally:\n" + task("z"));
  State state = [this] {
    State out;
    out.started = at(0);
    out.tasks.resize(plan.tasks.size());
    return out;
  }();
};

TEST_F(CriticalPathTest, IsTheChainOfThoseThatEndedLast) {
  ran("a", 0, 1);
  ran("b", 0, 5);
  ran("c", 5, 6);
  ran("d", 1, 9);
  ran("e", 9, 11);
  ran("z", 11, 12);
  EXPECT_EQ(path(), "a 1; d 8; e 2; z 1; ");
}

TEST_F(CriticalPathTest, TellsWaitingForASlotFromRunning) {
  ran("a", 0, 4);
  ran("b", 4, 8);
  EXPECT_EQ(path(), "b 4 after 4; ");
}

TEST_F(CriticalPathTest, PassesThroughSkippedTasksAndCountsEveryAttempt) {
  ran("a", 0, 1);
  ran("b", 3, 5);
  state.tasks[index_of(plan, "b")].retries.push_back({at(0), at(2), {}});
  state.tasks[index_of(plan, "c")].phase = Phase::Skipped;
  state.tasks[index_of(plan, "c")].finished = at(5);
  state.tasks[index_of(plan, "d")].phase = Phase::Skipped;
  state.tasks[index_of(plan, "d")].finished = at(1);
  ran("e", 5, 6);
  EXPECT_EQ(path(), "b 5; e 1; ");
}

TEST_F(CriticalPathTest, IsEmptyWhenNothingRan) {
  EXPECT_EQ(path(), "");
}

}  // namespace
}  // namespace kiln::executor
