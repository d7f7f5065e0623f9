#include "executor/journal.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>

#include "base/error.h"
#include "base/fs.h"
#include "executor/run_lock.h"
#include "executor/scheduler.h"
#include "tests/unit/executor/support.h"

namespace kiln::executor {
namespace {

using namespace std::chrono_literals;
using testing::plan_of;
using testing::task;

class JournalTest : public ::testing::Test {
 protected:
  TempDir temp;
  fs::path database = temp.path() / "kiln.db";
  fs::path runs = temp.path() / "runs";
  dag::Plan plan =
      plan_of("  params: [{name: p, default: d}]\n  tasks:\n" + task("a") + task("b, runAfter: [a]"));
};

TEST_F(JournalTest, KeepsEventsAcrossProcesses) {
  std::string id;
  State state;
  {
    Journal journal(database);
    id = journal.create(plan, Time(10s)).id;
    const Scheduler scheduler(plan, {1, {id, "u", "default"}});
    journal.append(id, plan,
                   scheduler.advance(state, {.kind = Event::Kind::RunStarted, .at = Time(11s)}, Time(11s)));
    Event end{.kind = Event::Kind::TaskFinished, .at = Time(12s), .task = 0};
    end.outcome.succeeded = true;
    journal.append(id, plan, scheduler.advance(state, end, Time(12s)));
  }
  Journal journal(database);
  const dag::Plan again = journal.plan(id);
  State replayed;
  for (const Event& event : journal.events(id, again)) apply(again, replayed, event);
  EXPECT_TRUE(replayed == state);
  EXPECT_EQ(journal.find("last").id, id);
  EXPECT_EQ(journal.unfinished().size(), 1u);
}

TEST_F(JournalTest, NamesRunsLikeKubernetesAndFindsThem) {
  Journal journal(database);
  const RunRecord first = journal.create(plan, Time(1s)), second = journal.create(plan, Time(2s));
  EXPECT_TRUE(first.id.starts_with("p-run-"));
  EXPECT_EQ(first.id.size(), 11u);
  EXPECT_NE(first.id, second.id);
  EXPECT_EQ(first.uid.size(), 36u);
  EXPECT_EQ(journal.list()[0].id, second.id);
  EXPECT_THROW(journal.find("p-run-none"), Error);
  journal.remove(second.id);
  EXPECT_EQ(journal.find("").id, first.id);
  EXPECT_TRUE(journal.events(second.id, plan).empty());
}

TEST_F(JournalTest, RemembersWhatTheUserAskedFor) {
  Journal journal(database);
  plan.request.params = {{"p", "given"}};
  plan.request.workspaces.clear();
  const RunRecord run = journal.create(plan, Time(1s));
  EXPECT_EQ(journal.plan(run.id).params[0].value.text, "given");
}

TEST_F(JournalTest, RunsOfAServerAndPendingOnesAreNotLost) {
  Journal journal(database);
  for (const Owner owner : {Owner::Server, Owner::Nobody}) {
    const RunRecord run = journal.create(plan, Time(10s), {.owner = owner, .options = "{}"});
    make_dirs(runs / run.id);
    write_file(runs / run.id / "lock", "");
    EXPECT_EQ(journal.find(run.id).owner, owner);
    EXPECT_EQ(journal.options(run.id), "{}");
  }
  EXPECT_TRUE(close_lost_runs(journal, runs, Time(1h)).empty());
}

TEST_F(JournalTest, AWaitingRunSaysWhyUntilItStarts) {
  Journal journal(database);
  const std::string id = journal.create(plan, Time(10s)).id;
  journal.set_waiting(id, "Queued", "waits for p-run-x");
  EXPECT_EQ(journal.find(id).reason, "Queued");
  EXPECT_EQ(journal.find(id).message, "waits for p-run-x");
  const Event started{.kind = Event::Kind::RunStarted, .at = Time(11s)};
  journal.append(id, plan, std::span(&started, 1));
  EXPECT_EQ(journal.find(id).reason, "Running");
  EXPECT_EQ(journal.find(id).message, "");
}

TEST_F(JournalTest, ClosesRunsWhoseKilnDiedAndNoOthers) {
  Journal journal(database);
  const Time long_ago(10s), now(1h);
  const auto start = [&] {
    const RunRecord run = journal.create(plan, long_ago);
    State state;
    journal.append(
        run.id, plan,
        Scheduler(plan, {1, {}}).advance(state, {.kind = Event::Kind::RunStarted, .at = long_ago}, long_ago));
    make_dirs(runs / run.id);
    write_file(runs / run.id / "lock", "");
    return run.id;
  };
  const std::string dead = start(), alive = start();
  const std::string young = journal.create(plan, now - 1s).id;  // has no lock yet
  const UniqueFd held = open_file(runs / alive / "lock", O_RDWR);
  ASSERT_EQ(::flock(held.get(), LOCK_EX), 0);

  const std::vector<RunRecord> lost = close_lost_runs(journal, runs, now);
  ASSERT_EQ(lost.size(), 1u);
  EXPECT_EQ(lost[0].id, dead);
  const RunRecord closed = journal.find(dead);
  EXPECT_EQ(closed.reason, "Cancelled");
  EXPECT_EQ(closed.message,
            "kiln ended before this run did (killed, or the machine went down); go on: kiln runs rerun " +
                dead + " --from-failed");
  State state;
  for (const Event& event : journal.events(dead, plan)) apply(plan, state, event);
  EXPECT_TRUE(state.has_finished);
  EXPECT_EQ(state.tasks[0].phase, Phase::Cancelled);
  EXPECT_EQ(state.tasks[1].phase, Phase::Skipped);
  EXPECT_TRUE(close_lost_runs(journal, runs, now).empty());
  EXPECT_FALSE(journal.find(young).finished);
}

TEST_F(JournalTest, ALostRunLeavesNoCredentialsOfItsPods) {
  Journal journal(database);
  const std::string id = journal.create(plan, Time(10s)).id;
  const fs::path home = runs / id / "pods" / "build.0" / "home";
  make_dirs(home);
  write_file(home / ".git-credentials", "https://user:secret@host");
  write_file(runs / id / "lock", "");
  ASSERT_EQ(close_lost_runs(journal, runs, Time(1h)).size(), 1u);
  EXPECT_FALSE(fs::exists(runs / id / "pods"));
  EXPECT_TRUE(fs::exists(runs / id));
}

}  // namespace
}  // namespace kiln::executor
