#include "executor/server_runs.h"

#include <gtest/gtest.h>
#include <latch>

#include "base/fs.h"
#include "executor/control.h"
#include "executor/options_json.h"
#include "tests/unit/executor/fake_pods.h"
#include "tests/unit/executor/support.h"

namespace kiln::executor {
namespace {

using testing::FakePodRunner;
using testing::plan_of;
using testing::task;

class Ends final : public RunObserver {
 public:
  explicit Ends(int expected) : left(expected) {}
  void run_finished(const RunRecord&, const State&) override { left.count_down(); }
  std::latch left;
};

class ServerRunsTest : public ::testing::Test {
 protected:
  RunRecord of_server() { return journal.create(plan, system_clock().now(), {.owner = Owner::Server}); }
  static void ignore(const RunRecord& run, const Error& error) {
    ADD_FAILURE() << run.id << ": " << error.full();
  }

  TempDir temp;
  Dirs dirs = Dirs::under(temp.path());
  Journal journal{dirs.database()};
  FakePodRunner pods;
  Driver driver{journal, pods, dirs};
  dag::Plan plan = plan_of("  tasks:\n" + task("a") + task("b, runAfter: [a]"));
};

TEST_F(ServerRunsTest, RunsWhatIsTheServersAndNothingElse) {
  const RunRecord mine = of_server(), other = journal.create(plan, system_clock().now()),
                  pending = journal.create(plan, system_clock().now(), {.owner = Owner::Nobody});
  Ends ends(1);
  ServerRuns runs(journal, driver, ends, ignore);
  runs.look();
  ends.left.wait();
  runs.leave();
  EXPECT_EQ(journal.find(mine.id).reason, "Succeeded");
  EXPECT_FALSE(journal.find(other.id).finished);
  EXPECT_FALSE(journal.find(pending.id).finished);
}

TEST_F(ServerRunsTest, MoreThanFitWaitForTheirTurn) {
  std::vector<RunRecord> all;
  for (int i = 0; i < 20; ++i) all.push_back(of_server());
  Ends ends(20);
  ServerRuns runs(journal, driver, ends, ignore, 3);
  runs.look();
  runs.look();  // knows those under way
  ends.left.wait();
  for (const RunRecord& run : all) EXPECT_EQ(journal.find(run.id).reason, "Succeeded");
}

TEST_F(ServerRunsTest, TheNextServerCarriesOnWhatThisOneLeft) {
  std::latch running(1);
  bool first = true;
  pods.on("b", [&](const steps::PodSpec& spec, steps::PodObserver& to, std::stop_token stop) {
    if (!std::exchange(first, false)) return FakePodRunner::succeeded();
    running.count_down();
    return FakePodRunner::until_stopped(spec, to, stop);
  });
  const RunRecord run = of_server();
  {
    Ends none(1);
    ServerRuns runs(journal, driver, none, ignore);
    runs.look();
    running.wait();
    runs.leave();
    EXPECT_FALSE(journal.find(run.id).finished);
    runs.look();  // does nothing any more
  }
  Ends ends(1);
  ServerRuns runs(journal, driver, ends, ignore);
  runs.look();
  ends.left.wait();
  EXPECT_EQ(journal.find(run.id).reason, "Succeeded");
  size_t of_a = 0;
  for (const steps::PodSpec& pod : pods.seen) of_a += pod.name.ends_with("-a");
  EXPECT_EQ(of_a, 1u) << "what has ended is not run again";
}

TEST_F(ServerRunsTest, APendingRunIsStartedOrEnded) {
  const dag::Plan pending = plan_of("  tasks:\n" + task("a"), "  status: PipelineRunPending\n");
  ASSERT_TRUE(is_pending(pending));
  const RunRecord started = journal.create(pending, Time{}, {.owner = Owner::Nobody});
  RunObserver quiet;
  EXPECT_EQ(driver.resume(started, journal.plan(started.id), quiet).run.reason, "Succeeded");
  const RunRecord ended = journal.create(pending, Time{}, {.owner = Owner::Nobody});
  end_pending_run(journal, dirs.runs(), ended, Time{});
  EXPECT_EQ(journal.find(ended.id).reason, "Cancelled");
  EXPECT_THROW(end_pending_run(journal, dirs.runs(), ended, Time{}), Error);
}

TEST_F(ServerRunsTest, AStatusAtBirthEndsTheRunAsTektonDoes) {
  RunObserver quiet;
  const std::string spec = "  tasks:\n" + task("a") + "  finally:\n" + task("z");
  const RunEnd now = driver.run(plan_of(spec, "  status: Cancelled\n"), quiet);
  EXPECT_EQ(now.state.message, "PipelineRun \"" + now.run.id + "\" was cancelled");
  EXPECT_TRUE(pods.seen.empty());
  const RunEnd graceful = driver.run(plan_of(spec, "  status: CancelledRunFinally\n"), quiet);
  EXPECT_EQ(graceful.state.reason, "Cancelled");
  EXPECT_EQ(graceful.state.tasks[0].reason, skip::kCancelled);
  const RunEnd stopped = driver.run(plan_of(spec, "  status: StoppedRunFinally\n"), quiet);
  EXPECT_EQ(stopped.state.tasks[0].reason, skip::kStopped);
  EXPECT_EQ(pods.seen.size(), 2u) << "finally, twice";
}

TEST(RunOptionsText, KeepsWhatARunWasAllowed) {
  RunOptions options;
  options.jobs = 3;
  options.allow_host_image = true;
  options.network = steps::Network::None;
  options.host_paths = {"/srv"};
  const RunOptions again = options_from(to_text(options));
  EXPECT_EQ(again.jobs, 3u);
  EXPECT_TRUE(again.allow_host_image);
  EXPECT_FALSE(again.allow_privileged);
  EXPECT_EQ(again.network, steps::Network::None);
  EXPECT_EQ(again.host_paths, std::vector<fs::path>{"/srv"});
  EXPECT_THROW(options_from("{}"), Error);
}

}  // namespace
}  // namespace kiln::executor
