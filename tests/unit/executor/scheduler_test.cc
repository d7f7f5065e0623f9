#include "executor/scheduler.h"

#include <chrono>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/unit/executor/scenario.h"

namespace kiln::executor {
namespace {

using namespace std::chrono_literals;
using testing::index_of;
using testing::plan_of;
using testing::Scenario;
using testing::task;

const std::string kDiamond = "  tasks:\n" + task("a") + task("b, runAfter: [a]") + task("c, runAfter: [a]") +
                             task("d, runAfter: [b, c]") + "  finally:\n" + task("z");

TEST(Scheduler, RunsADiamondAndThenFinally) {
  Scenario run(plan_of(kDiamond));
  EXPECT_EQ(run.running(), "a");
  run.finish("a");
  EXPECT_EQ(run.running(), "b c");
  run.finish("c");
  EXPECT_EQ(run.running(), "b");
  run.finish("b");
  EXPECT_EQ(run.running(), "d");
  run.finish("d");
  EXPECT_EQ(run.running(), "z");
  run.finish("z");
  EXPECT_EQ(run.end(), "Succeeded | Tasks Completed: 5 (Failed: 0, Cancelled 0), Skipped: 0");
  EXPECT_TRUE(run.state.succeeded());
}

TEST(Scheduler, RunsNoMoreThanJobsAtOnce) {
  Scenario run(plan_of("  tasks:\n" + task("a") + task("b") + task("c")), 2);
  EXPECT_EQ(run.running(), "a b");
  run.finish("a");
  EXPECT_EQ(run.running(), "b c");
}

TEST(Scheduler, AFailureSkipsTheRestButNotFinally) {
  Scenario run(plan_of(kDiamond));
  run.finish("a").finish("b", false);
  EXPECT_EQ(run.skipped(), "d: PipelineRun was stopping");
  EXPECT_EQ(run.running(), "c") << "what runs goes on";
  run.finish("c");
  EXPECT_EQ(run.running(), "z");
  run.finish("z");
  EXPECT_EQ(run.end(), "Failed | Tasks Completed: 4 (Failed: 1, Cancelled 0), Skipped: 1");
}

TEST(Scheduler, AFalseWhenSkipsTheTaskAndThoseThatNeedItsResults) {
  Scenario run(plan_of("  tasks:\n" + task("a, when: [{input: x, operator: in, values: [\"y\"]}]") +
                       task("after, runAfter: [a]") +
                       task("uses, params: [{name: v, value: $(tasks.a.results.r)}]") +
                       task("child, runAfter: [uses]")));
  EXPECT_EQ(run.running(), "after") << "ordering alone does not skip";
  run.finish("after");
  EXPECT_EQ(
      run.skipped(),
      "a: When Expressions evaluated to false; uses: Results were missing; child: Parent Tasks were skipped");
  EXPECT_EQ(run.end(), "Completed | Tasks Completed: 1 (Failed: 0, Cancelled 0), Skipped: 3");
}

TEST(Scheduler, WhenReadsResults) {
  const dag::Plan plan =
      plan_of("  tasks:\n" + task("a") +
              task("go, when: [{input: $(tasks.a.results.r), operator: in, values: [go]}]") +
              task("stay, when: [{input: $(tasks.a.results.r), operator: notin, values: [go]}]"));
  Scenario run(plan);
  run.finish("a", true, {{"r", "go"}});
  EXPECT_EQ(run.running(), "go");
  EXPECT_EQ(run.skipped(), "stay: When Expressions evaluated to false");
}

TEST(Scheduler, RetriesUntilOneAttemptSucceeds) {
  Scenario run(plan_of("  tasks:\n" + task("a, retries: 2") + task("b, runAfter: [a]")));
  run.finish("a", false);
  EXPECT_EQ(run.running(), "a");
  EXPECT_EQ(run.of("a").attempt, 1);
  run.finish("a", false).finish("a", true);
  EXPECT_EQ(run.of("a").retries.size(), 2u);
  EXPECT_EQ(run.running(), "b");
}

TEST(Scheduler, RetriesRunOut) {
  Scenario run(plan_of("  tasks:\n" + task("a, retries: 1")));
  run.finish("a", false).finish("a", false);
  EXPECT_EQ(run.end(), "Failed | Tasks Completed: 1 (Failed: 1, Cancelled 0), Skipped: 0");
}

TEST(Scheduler, AnotherTasksFailureDoesNotTakeRetriesAway) {
  Scenario run(plan_of("  tasks:\n" + task("a, retries: 1") + task("b")));
  run.finish("b", false).finish("a", false);
  EXPECT_EQ(run.running(), "a");
}

TEST(Scheduler, OnErrorContinueIsIgnored) {
  Scenario run(plan_of("  tasks:\n" + task("a, onError: continue") + task("b, runAfter: [a]")));
  run.finish("a", false);
  EXPECT_EQ(run.of("a").reason, "FailureIgnored");
  EXPECT_EQ(run.running(), "b");
  EXPECT_EQ(run.of("a").phase, Phase::Failed);
  run.finish("b");
  EXPECT_EQ(run.end(), "Succeeded | Tasks Completed: 2 (Failed: 1 (Ignored: 1), Cancelled 0), Skipped: 0");
}

TEST(Scheduler, AStepThatFailedIsAnIgnoredFailure) {
  Scenario run(plan_of("  tasks:\n" + task("a, onError: continue") + task("b, runAfter: [a]")));
  Event event{.kind = Event::Kind::TaskFinished, .task = 0, .attempt = run.state.tasks[0].attempt};
  event.outcome.reason = "StepFailed";
  run.feed(std::move(event));
  EXPECT_EQ(run.of("a").reason, "FailureIgnored");
}

TEST(Scheduler, AnIgnoredTimeoutKeepsItsReason) {
  Scenario run(plan_of("  tasks:\n" + task("a, onError: continue, timeout: 10s") + task("b, runAfter: [a]")));
  run.advance(11s).finish("a", false);
  EXPECT_EQ(run.of("a").reason, "TaskRunTimeout");
  EXPECT_EQ(run.running(), "b");
}

TEST(Scheduler, FinallyMayChooseByStatus) {
  Scenario run(
      plan_of("  tasks:\n" + task("a") + "  finally:\n" +
              task("on-failure, when: [{input: $(tasks.a.status), operator: in, values: [Failed]}]") +
              task("on-success, when: [{input: $(tasks.status), operator: in, values: [Succeeded]}]") +
              task("needs, params: [{name: v, value: $(tasks.a.results.r)}]")));
  run.finish("a", false);
  EXPECT_EQ(run.running(), "on-failure");
  EXPECT_EQ(run.skipped(), "on-success: When Expressions evaluated to false; needs: Results were missing");
}

TEST(Scheduler, ATaskTimeoutEndsTheAttemptAndCountsAsFailure) {
  Scenario run(plan_of("  tasks:\n" + task("a, timeout: 10s, retries: 1")));
  EXPECT_EQ(*run.deadline(), run.clock.now() + 10s);
  run.advance(9s);
  EXPECT_EQ(run.stopped(), "");
  run.advance(1s);
  EXPECT_EQ(run.stopped(), "a");
  run.finish("a", false);
  EXPECT_EQ(run.of("a").retries[0].outcome.reason, "TaskRunTimeout");
  run.advance(10s).finish("a", false);
  EXPECT_EQ(run.of("a").reason, "TaskRunTimeout");
  EXPECT_EQ(run.of("a").message, "TaskRun \"r-1-a\" failed to finish within \"10s\"");
  EXPECT_EQ(run.end(), "Failed | Tasks Completed: 1 (Failed: 1, Cancelled 0), Skipped: 0");
}

TEST(Scheduler, TheTasksTimeoutStillRunsFinally) {
  Scenario run(plan_of(kDiamond, "  timeouts: {pipeline: 1h, tasks: 10m}\n"));
  run.advance(10min);
  EXPECT_EQ(run.stopped(), "a");
  EXPECT_EQ(run.skipped(),
            "b: PipelineRun Tasks timeout has been reached; c: PipelineRun Tasks timeout has been reached; "
            "d: PipelineRun Tasks timeout has been reached");
  run.finish("a", false);
  EXPECT_EQ(run.running(), "z");
  run.finish("z");
  EXPECT_EQ(run.end(),
            "PipelineRunTimeout | PipelineRun \"r-1\" failed due to tasks failed to finish within \"10m0s\"");
}

TEST(Scheduler, ThePipelineTimeoutEndsEverything) {
  Scenario run(plan_of(kDiamond, "  timeouts: {pipeline: 1h}\n"));
  run.finish("a").advance(1h);
  EXPECT_EQ(run.stopped(), "b c");
  run.finish("b", false).finish("c", false);
  EXPECT_EQ(run.skipped(),
            "d: PipelineRun timeout has been reached; z: PipelineRun timeout has been reached");
  EXPECT_EQ(run.end(), "PipelineRunTimeout | PipelineRun \"r-1\" failed to finish within \"1h0m0s\"");
}

TEST(Scheduler, TheFinallyTimeoutEndsFinally) {
  Scenario run(plan_of("  tasks:\n" + task("a") + "  finally:\n" + task("z"),
                       "  timeouts: {pipeline: 1h, finally: 5m}\n"));
  run.finish("a").advance(5min);
  EXPECT_EQ(run.stopped(), "z");
  run.finish("z", false);
  EXPECT_TRUE(run.state.has_finished);
  EXPECT_EQ(run.state.reason, "Failed");
}

TEST(Scheduler, CancelEndsAllAndSkipsFinally) {
  Scenario run(plan_of(kDiamond));
  run.cancel("Cancelled");
  EXPECT_EQ(run.stopped(), "a");
  run.finish("a", false);
  EXPECT_EQ(run.end(), "Cancelled | PipelineRun \"r-1\" was cancelled");
  EXPECT_EQ(run.of("z").phase, Phase::Skipped);
  EXPECT_EQ(run.of("a").reason, "TaskRunCancelled");
}

TEST(Scheduler, CancelledRunFinallyEndsTasksAndRunsFinally) {
  Scenario run(plan_of(kDiamond));
  run.finish("a").cancel("CancelledRunFinally");
  EXPECT_EQ(run.stopped(), "b c");
  EXPECT_EQ(run.skipped(), "d: PipelineRun was gracefully cancelled");
  run.finish("b", false).finish("c", true);
  EXPECT_EQ(run.running(), "z");
  EXPECT_EQ(run.stopped(), "");
  run.finish("z");
  EXPECT_EQ(run.end(), "Cancelled | PipelineRun \"r-1\" was cancelled");
  EXPECT_EQ(run.of("b").message,
            "TaskRun \"r-1-b\" was cancelled. TaskRun cancelled as the PipelineRun it belongs to has been "
            "cancelled.");
}

TEST(Scheduler, EachKindOfChildEndsInItsOwnWords) {
  const dag::Plan plan = plan_of(
      "  tasks:\n  - {name: w, timeout: 1s, taskRef: {apiVersion: x/v1, kind: Wait}}\n"
      "  - {name: v, taskRef: {apiVersion: x/v1, kind: Wait}}\n"
      "  - {name: p, timeout: 1s, pipelineSpec: {tasks: [{name: t, taskSpec: {steps: [{image: i}]}}]}}\n"
      "  finally:\n" +
      task("z"));
  Scenario run(plan);
  run.advance(1s);
  EXPECT_EQ(run.stopped(), "w") << "a pipeline inside ends itself";
  run.finish("w", false).cancel("CancelledRunFinally").finish("v", false).finish("p", false);
  const StateFacts facts(plan, run.state);
  EXPECT_EQ(facts.reason(0), "CustomRunTimedOut");
  EXPECT_EQ(run.of("w").message, "CustomRun \"r-1-w\" failed to finish within \"1s\"");
  EXPECT_EQ(facts.reason(1), "CustomRunCancelled");
  EXPECT_EQ(
      run.of("v").message,
      "CustomRun \"r-1-v\" was cancelled. CustomRun cancelled as the PipelineRun it belongs to has been "
      "cancelled.");
  EXPECT_EQ(facts.reason(2), "Cancelled");
  EXPECT_EQ(run.of("p").message, "PipelineRun \"r-1-p\" was cancelled");
}

TEST(Scheduler, ASecondCancelEndsFinallyToo) {
  Scenario run(plan_of(kDiamond));
  run.cancel("CancelledRunFinally").finish("a", false);
  EXPECT_EQ(run.running(), "z");
  run.cancel("Cancelled");
  EXPECT_EQ(run.stopped(), "z");
  run.finish("z", false);
  EXPECT_EQ(run.state.reason, "Cancelled");
}

TEST(Scheduler, StoppedRunFinallyLetsRunningTasksEnd) {
  Scenario run(plan_of(kDiamond));
  run.finish("a").cancel("StoppedRunFinally");
  EXPECT_EQ(run.stopped(), "");
  EXPECT_EQ(run.skipped(), "d: PipelineRun was gracefully stopped");
  run.finish("b").finish("c").finish("z");
  EXPECT_EQ(run.end(), "Cancelled | PipelineRun \"r-1\" was cancelled");
}

TEST(Scheduler, ACancelledTaskIsNotRetried) {
  Scenario run(plan_of("  tasks:\n" + task("a, retries: 5")));
  run.cancel("CancelledRunFinally").finish("a", false);
  EXPECT_TRUE(run.state.has_finished);
  EXPECT_EQ(run.of("a").phase, Phase::Cancelled);
}

TEST(Scheduler, EventsThatMakeNoSenseChangeNothing) {
  Scenario run(plan_of("  tasks:\n" + task("a")));
  const State before = run.state;
  Event stale{.kind = Event::Kind::TaskFinished, .task = 0, .attempt = 7};
  run.feed(stale);
  stale.task = 99;
  State copy = run.state;
  apply(plan_of("  tasks:\n" + task("a")), copy, stale);
  EXPECT_TRUE(copy == before);
  run.finish("a").finish("a", false);
  EXPECT_EQ(run.state.reason, "Succeeded");
}

TEST(Scheduler, PrintsDurationsAsGoDoes) {
  EXPECT_EQ(go_duration(1h), "1h0m0s");
  EXPECT_EQ(go_duration(90s), "1m30s");
  EXPECT_EQ(go_duration(1500ms), "1.5s");
  EXPECT_EQ(go_duration(250ms), "250ms");
  EXPECT_EQ(go_duration(0s), "0s");
}

TEST(Scheduler, TenThousandTasksAreScheduledInNoTime) {
  std::string text = "  tasks:\n";
  for (int i = 0; i < 10'000; ++i)
    text += task("t" + std::to_string(i) + (i ? ", runAfter: [t" + std::to_string(i / 3) + "]" : ""));
  const dag::Plan plan = plan_of(text);
  const Scheduler scheduler(plan, {8, {}});
  State state;
  const auto start = std::chrono::steady_clock::now();
  std::vector<Event> pending = scheduler.advance(state, {.kind = Event::Kind::RunStarted}, {});
  size_t started = 0;
  for (size_t i = 0; i < pending.size(); ++i) {
    if (pending[i].kind != Event::Kind::TaskStarted) continue;
    ++started;
    Event finished{.kind = Event::Kind::TaskFinished, .task = pending[i].task};
    finished.outcome.succeeded = true;
    for (Event& next : scheduler.advance(state, std::move(finished), {})) pending.push_back(std::move(next));
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  EXPECT_EQ(started, 10'000u);
  EXPECT_TRUE(state.has_finished);
  RecordProperty("microseconds_per_task", std::to_string(seconds * 100));
}

}  // namespace
}  // namespace kiln::executor
