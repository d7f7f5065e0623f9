// Carrying on a run whose kiln died, or that was left.
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/fs.h"
#include "executor/control.h"
#include "executor/custom_task.h"
#include "executor/driver.h"
#include "tests/unit/executor/fake_pods.h"
#include "tests/unit/executor/support.h"

namespace kiln::executor {
namespace {

using namespace std::chrono_literals;
using testing::FakePodRunner;
using testing::index_of;
using testing::plan_of;
using testing::task;

class ResumeTest : public ::testing::Test {
 protected:
  // A run that has come as far as `done` say, each with its result r, when its kiln died.
  RunRecord cut_off(const dag::Plan& plan, const std::vector<std::string>& done = {},
                    std::vector<Event> more = {}) {
    const RunRecord run = journal.create(plan, clock.now());
    const Scheduler scheduler(plan, {4, {run.id, run.uid, "default"}});
    State state;
    const auto feed = [&](Event event) {
      event.at = clock.now();
      journal.append(run.id, plan, scheduler.advance(state, event, clock.now()));
    };
    feed({.kind = Event::Kind::RunStarted});
    for (const std::string& name : done) {
      Event end{.kind = Event::Kind::TaskFinished, .task = index_of(plan, name)};
      end.outcome.succeeded = true;
      end.outcome.results["r"] = "R" + name;
      feed(end);
    }
    for (const Event& event : more) feed(event);
    return run;
  }
  RunEnd resume(const RunRecord& run, const dag::Plan& plan, RunOptions options = {}) {
    options.jobs = options.jobs ? options.jobs : 4;
    RunEnd end = Driver(journal, pods, dirs, clock).resume(journal.find(run.id), plan, observer, options);
    EXPECT_TRUE(replay(journal, run.id, plan) == end.state) << "what is on disk tells the same story";
    return end;
  }
  std::string ran(const RunRecord& run) const {
    std::string out;
    for (const steps::PodSpec& pod : pods.seen)
      out += (out.empty() ? "" : " ") + pod.name.substr(run.id.size() + 1);
    return out;
  }

  TempDir temp;
  Dirs dirs = Dirs::under(temp.path());
  ManualClock clock{Time(1000s)};
  Journal journal{dirs.database()};
  FakePodRunner pods;
  RunObserver observer;
};

const std::string kChain = "  tasks:\n" + task("a") +
                           "  - {name: b, params: [{name: v, value: $(tasks.a.results.r)}], taskSpec: "
                           "{params: [{name: v}], steps: [{name: s, image: i, args: [$(params.v)]}]}}\n" +
                           task("c, runAfter: [b]") + "  finally:\n" + task("z");

TEST_F(ResumeTest, WhatHasEndedIsNotRunAgainAndWhatRanStartsAgain) {
  const dag::Plan plan = plan_of(kChain);
  const RunRecord run = cut_off(plan, {"a"});
  const RunEnd end = resume(run, plan);
  EXPECT_EQ(ran(run), "b c z");
  EXPECT_EQ(pods.seen.at(0).steps[0].args, std::vector<std::string>{"Ra"});
  EXPECT_EQ(end.state.reason, "Succeeded");
  EXPECT_EQ(end.state.tasks[index_of(plan, "b")].attempt, 0) << "the same attempt";
  EXPECT_TRUE(end.state.tasks[index_of(plan, "b")].retries.empty());
}

TEST_F(ResumeTest, ARunWithoutEventsBeginsAtItsBeginning) {
  const dag::Plan plan = plan_of(kChain);
  const RunRecord run = journal.create(plan, clock.now());
  pods.on("a", [](const steps::PodSpec&, steps::PodObserver&, std::stop_token) {
    return FakePodRunner::succeeded({{"r", "R"}});
  });
  EXPECT_EQ(resume(run, plan).state.reason, "Succeeded");
  EXPECT_EQ(ran(run), "a b c z");
}

TEST_F(ResumeTest, AnEndedRunStaysAsItIs) {
  const dag::Plan plan = plan_of("  tasks:\n" + task("a"));
  const RunRecord run = cut_off(plan, {"a"});
  EXPECT_EQ(resume(run, plan).run.reason, "Succeeded");
  EXPECT_TRUE(pods.seen.empty());
}

TEST_F(ResumeTest, FilesOfTheDeadKilnsPodsAreGoneBeforeTheyStartAgain) {
  const dag::Plan plan = plan_of("  tasks:\n" + task("a"));
  const RunRecord run = cut_off(plan);
  const fs::path old = dirs.runs() / run.id / "pods" / "a.0" / "results" / "r";
  make_dirs(old.parent_path());
  write_file(old, "half a result");
  bool there = true;
  pods.on("a", [&](const steps::PodSpec&, steps::PodObserver&, std::stop_token) {
    there = fs::exists(old);
    return FakePodRunner::succeeded();
  });
  resume(run, plan);
  EXPECT_FALSE(there);
}

TEST_F(ResumeTest, WhatAnAttemptSaidBeforeItWasCutOffIsKept) {
  const dag::Plan plan = plan_of("  tasks:\n" + task("a"));
  const RunRecord run = cut_off(plan);
  const fs::path log = log_file(dirs, run.id, "a", 0, "s");
  make_dirs(log.parent_path());
  write_file(log, "half a log");
  resume(run, plan);
  EXPECT_EQ(read_file(dirs.runs() / run.id / "logs" / "a.0.cut-off-1" / "s.log"), "half a log");
}

TEST_F(ResumeTest, TimeoutsCountFromWhenTheyBegan) {
  const dag::Plan plan =
      plan_of("  tasks:\n" + task("a, timeout: 10s") + task("b"), "  timeouts: {pipeline: 1h}\n");
  const RunRecord run = cut_off(plan);
  clock.advance(11s);
  const RunEnd end = resume(run, plan);
  EXPECT_EQ(end.state.tasks[index_of(plan, "a")].reason, "TaskRunTimeout");
  EXPECT_EQ(end.state.tasks[index_of(plan, "b")].phase, Phase::Succeeded);
  EXPECT_EQ(ran(run), "b") << "its time is over: it is not even started";
  EXPECT_EQ(end.state.started, Time(1000s));
}

TEST_F(ResumeTest, ATaskThatWasToldToEndHasEnded) {
  const dag::Plan plan = plan_of(kChain);
  const RunRecord run =
      cut_off(plan, {}, {{.kind = Event::Kind::CancelRequested, .reason = "CancelledRunFinally"}});
  const RunEnd end = resume(run, plan);
  EXPECT_EQ(ran(run), "z");
  EXPECT_EQ(end.state.tasks[0].reason, "TaskRunCancelled");
  EXPECT_EQ(end.state.reason, "Cancelled");
}

TEST_F(ResumeTest, RefusesARunThatAProcessCarriesOn) {
  const dag::Plan plan = plan_of("  tasks:\n" + task("a"));
  const RunRecord run = journal.create(plan, clock.now());
  pods.on("a", [&](const steps::PodSpec&, steps::PodObserver&, std::stop_token) {
    EXPECT_THROW(Driver(journal, pods, dirs, clock).resume(run, plan, observer), Error);
    return FakePodRunner::succeeded();
  });
  EXPECT_EQ(resume(run, plan).state.reason, "Succeeded");
}

TEST_F(ResumeTest, ALeftRunIsCarriedOnAndNotCancelled) {
  const dag::Plan plan = plan_of("  tasks:\n" + task("a") + task("b"));
  std::stop_source leave;
  pods.on("a", [&](const steps::PodSpec&, steps::PodObserver&, std::stop_token) {
    return FakePodRunner::succeeded({{"r", "R"}});
  });
  pods.on("b", [&](const steps::PodSpec& spec, steps::PodObserver& to, std::stop_token stop) {
    leave.request_stop();
    return FakePodRunner::until_stopped(spec, to, stop);
  });
  RunOptions options;
  options.jobs = 1;  // a has ended when b starts
  options.leave = leave.get_token();
  const RunEnd left = Driver(journal, pods, dirs, clock).run(plan, observer, options);
  EXPECT_FALSE(left.state.has_finished);
  EXPECT_FALSE(journal.find(left.run.id).finished);

  pods.seen.clear();
  pods.on("b", [](const steps::PodSpec&, steps::PodObserver&, std::stop_token) {
    return FakePodRunner::succeeded();
  });
  EXPECT_EQ(resume(left.run, plan).state.reason, "Succeeded");
  EXPECT_EQ(ran(left.run), "b");
}

TEST_F(ResumeTest, ACancelThatCameMeanwhileIsHeard) {
  const dag::Plan plan = plan_of(kChain);
  const RunRecord run = cut_off(plan);
  make_dirs(dirs.runs() / run.id);
  EXPECT_THROW(request_cancel(dirs.runs() / run.id, "Cancelled"), Error) << "nobody would look";
  request_cancel(dirs.runs() / run.id, "Cancelled", true);
  pods.on("a", FakePodRunner::until_stopped);
  EXPECT_EQ(resume(run, plan).state.reason, "Cancelled");
}

const std::string kNested =
    "  tasks:\n    - name: in\n      pipelineSpec:\n        tasks:\n          - {name: x, "
    "taskSpec: {steps: [{name: s, image: i, script: x}]}}\n          - {name: w, "
    "runAfter: [x], taskSpec: {steps: [{name: s, image: i, script: x}]}}\n";

TEST_F(ResumeTest, PipelinesInsideAreCarriedOn) {
  const dag::Plan plan = plan_of(kNested);
  std::stop_source leave;
  pods.on("w", [&](const steps::PodSpec& spec, steps::PodObserver& to, std::stop_token stop) {
    leave.request_stop();
    return FakePodRunner::until_stopped(spec, to, stop);
  });
  RunOptions options;
  options.leave = leave.get_token();
  const RunEnd left = Driver(journal, pods, dirs, clock).run(plan, observer, options);
  EXPECT_FALSE(left.state.has_finished);
  ASSERT_EQ(journal.children(left.run.id).size(), 1u);
  EXPECT_FALSE(journal.children(left.run.id)[0].finished);

  pods.seen.clear();
  pods.on("w", [](const steps::PodSpec&, steps::PodObserver&, std::stop_token) {
    return FakePodRunner::succeeded();
  });
  EXPECT_EQ(resume(left.run, plan).state.reason, "Succeeded");
  EXPECT_EQ(ran(left.run), "in-w");
  EXPECT_EQ(journal.children(left.run.id).size(), 1u);
}

std::string custom(const std::string& kind, const std::string& params = "[]") {
  return "  tasks:\n    - {name: gate, params: " + params +
         ", taskRef: {apiVersion: kiln.dev/v1, kind: " + kind + ", name: x}}\n";
}

TEST_F(ResumeTest, AWaitCountsFromWhenItBegan) {
  const dag::Plan plan = plan_of(custom("Wait", "[{name: duration, value: 30m}]"));
  const RunRecord run = cut_off(plan);
  clock.advance(29min);
  const auto turn = [&] { clock.advance(1min); };
  class Turn final : public RunObserver {
   public:
    explicit Turn(std::function<void()> f) : f_(std::move(f)) {}
    void task_started(const RunningTask&) override { f_(); }
    std::function<void()> f_;
  } turner(turn);
  const RunEnd end = Driver(journal, pods, dirs, clock).resume(run, plan, turner, {});
  EXPECT_EQ(end.state.reason, "Succeeded");
}

TEST_F(ResumeTest, AnApprovalThatWasGivenWhileNobodyLookedCounts) {
  const dag::Plan plan = plan_of(custom("Approval"));
  const RunRecord run = cut_off(plan);
  const fs::path approval = dirs.runs() / run.id / "approvals" / "gate";
  make_dirs(approval.parent_path());
  write_file(fs::path(approval).concat(".waiting"), "");
  ASSERT_EQ(waiting_approvals(dirs.runs() / run.id), std::vector<fs::path>{approval});
  decide(approval, {true, "somebody", ""});
  EXPECT_TRUE(waiting_approvals(dirs.runs() / run.id).empty());
  EXPECT_EQ(resume(run, plan).state.reason, "Succeeded");
  EXPECT_TRUE(fs::is_empty(approval.parent_path()));
}

}  // namespace
}  // namespace kiln::executor
