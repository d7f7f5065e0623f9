#include "executor/concurrency.h"

#include <gtest/gtest.h>
#include <latch>
#include <thread>

#include "base/fs.h"
#include "executor/control.h"
#include "executor/driver.h"
#include "tests/unit/executor/fake_pods.h"
#include "tests/unit/executor/support.h"

namespace kiln::executor {
namespace {

using testing::FakePodRunner;
using testing::plan_of;
using testing::task;

std::string grouped(const std::string& more = "") {
  return "{kiln.dev/concurrency-group: \"g-$(params.stage)\"" + more + "}";
}
const std::string kSpec =
    "  params: [{name: stage, default: test}]\n  tasks:\n" + task("a") + "  finally:\n" + task("z");

class ConcurrencyTest : public ::testing::Test {
 protected:
  TempDir temp;
  Dirs dirs = Dirs::under(temp.path());
  Journal journal{dirs.database()};
  FakePodRunner pods;
};

TEST_F(ConcurrencyTest, TheGroupsNameHoldsParams) {
  EXPECT_EQ(concurrency_group(plan_of(kSpec, {}, grouped())), "g-test");
  EXPECT_EQ(concurrency_group(plan_of(kSpec)), "");
  EXPECT_EQ(journal.create(plan_of(kSpec, {}, grouped()), Time{}).group, "g-test");
}

TEST_F(ConcurrencyTest, OneAtATimeByAgeAndTheDeadDoNotCount) {
  const dag::Plan plan = plan_of(kSpec, {}, grouped());
  const RunRecord first = journal.create(plan, Time{}), dead = journal.create(plan, Time{}),
                  second = journal.create(plan, Time{}), third = journal.create(plan, Time{});
  std::optional<GroupPlace> a(std::in_place, dirs, first), b(std::in_place, dirs, second),
      c(std::in_place, dirs, third);
  // A killed process leaves its ticket, and nobody holds it.
  for (const auto& entry : fs::directory_iterator(dirs.state / "groups"))
    write_file(entry.path() / ("000000000000000000" + std::to_string(dead.order)), dead.id);
  EXPECT_FALSE(b->try_enter());
  EXPECT_EQ(b->waits_for(), first.id);
  EXPECT_TRUE(a->try_enter());
  EXPECT_TRUE(a->try_enter()) << "still";
  EXPECT_FALSE(b->try_enter());
  a.reset();
  EXPECT_FALSE(c->try_enter()) << "the older first";
  EXPECT_EQ(c->waits_for(), second.id);
  EXPECT_TRUE(b->try_enter());
  b.reset();
  EXPECT_TRUE(c->try_enter());
}

TEST_F(ConcurrencyTest, OneThatCameTooLateForItsPlaceWaitsAllTheSame) {
  const dag::Plan plan = plan_of(kSpec, {}, grouped());
  const RunRecord first = journal.create(plan, Time{}), second = journal.create(plan, Time{});
  GroupPlace b(dirs, second);
  ASSERT_TRUE(b.try_enter());
  GroupPlace a(dirs, first);
  EXPECT_FALSE(a.try_enter());
  EXPECT_EQ(a.waits_for(), second.id);
}

class Waiter final : public RunObserver {
 public:
  void run_waits(const RunRecord&, std::string_view other) override {
    waited_for = other;
    if (on_wait) on_wait();
  }
  std::string waited_for;
  std::function<void()> on_wait;
};

// A first run whose task a goes on until release(), and a second one beside it.
class TwoRuns : public ConcurrencyTest {
 protected:
  void begin(const dag::Plan& plan) {
    pods.on("a", [this](const steps::PodSpec&, steps::PodObserver&, std::stop_token stop) {
      if (calls++ > 0) return FakePodRunner::succeeded();
      started.count_down();
      std::unique_lock lock(mutex);
      changed.wait(lock, stop, [this] { return released; });
      return stop.stop_requested() ? FakePodRunner::failed() : FakePodRunner::succeeded();
    });
    first = std::jthread([this, &plan] { first_end = Driver(journal, pods, dirs).run(plan, quiet); });
    started.wait();
  }
  void release() {
    const std::lock_guard lock(mutex);
    released = true;
    changed.notify_all();
  }
  RunObserver quiet;
  Waiter waiter;
  RunEnd first_end;
  std::atomic<int> calls = 0;
  std::latch started{1};
  std::mutex mutex;
  std::condition_variable_any changed;
  bool released = false;
  std::jthread first;
};

TEST_F(TwoRuns, TheSecondWaitsAndSaysForWhat) {
  const dag::Plan plan = plan_of(kSpec, {}, grouped());
  begin(plan);
  std::string reason;
  waiter.on_wait = [&] {
    reason = journal.list().front().reason + ": " + journal.list().front().message;
    release();
  };
  const RunEnd end = Driver(journal, pods, dirs).run(plan, waiter);
  EXPECT_EQ(end.state.reason, "Succeeded");
  EXPECT_EQ(waiter.waited_for, journal.list().back().id);
  EXPECT_EQ(reason, "Queued: waits for run " + waiter.waited_for + " of concurrency group \"g-test\"");
  first.join();
  EXPECT_GE(end.state.started, first_end.state.finished);
}

TEST_F(TwoRuns, ARunThatWaitsCanBeCancelled) {
  const dag::Plan plan = plan_of(kSpec, {}, grouped());
  begin(plan);
  std::stop_source stop;
  waiter.on_wait = [&] { stop.request_stop(); };
  RunOptions options;
  options.stop = stop.get_token();
  const RunEnd end = Driver(journal, pods, dirs).run(plan, waiter, options);
  EXPECT_EQ(end.state.reason, "Cancelled");
  EXPECT_EQ(end.state.tasks.back().phase, Phase::Skipped) << "its finally would run beside the other run";
  release();
  first.join();
}

TEST_F(TwoRuns, ARunThatWaitsCanBeLeft) {
  const dag::Plan plan = plan_of(kSpec, {}, grouped());
  begin(plan);
  std::stop_source leave;
  waiter.on_wait = [&] { leave.request_stop(); };
  RunOptions options;
  options.leave = leave.get_token();
  const RunEnd end = Driver(journal, pods, dirs).run(plan, waiter, options);
  EXPECT_FALSE(end.state.has_finished);
  EXPECT_TRUE(journal.events(end.run.id, plan).empty());
  release();
  first.join();
}

TEST_F(TwoRuns, ANewOneMayEndThoseBeforeIt) {
  const dag::Plan plan = plan_of(kSpec, {}, grouped(", kiln.dev/concurrency: cancel-previous"));
  begin(plan);
  const RunEnd end = Driver(journal, pods, dirs).run(plan, waiter);
  EXPECT_EQ(end.state.reason, "Succeeded");
  first.join();
  EXPECT_EQ(first_end.state.reason, "Cancelled");
  EXPECT_EQ(first_end.state.tasks.back().phase, Phase::Succeeded) << "its finally ran";
  EXPECT_GE(end.state.started, first_end.state.finished);
}

}  // namespace
}  // namespace kiln::executor
