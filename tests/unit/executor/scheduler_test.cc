#include "executor/scheduler.h"

#include <chrono>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/unit/executor/support.h"

namespace kiln::executor {
namespace {

using namespace std::chrono_literals;
using testing::index_of;
using testing::plan_of;
using testing::task;

// A run driven by hand on a clock turned by hand.
class Scenario {
 public:
  explicit Scenario(dag::Plan plan, size_t jobs = 8)
      : plan_(std::move(plan)), scheduler_(plan_, {jobs, {"r-1", "uid", "default"}}) {
    feed({.kind = Event::Kind::RunStarted});
  }

  Scenario& finish(std::string_view name, bool succeeded = true,
                   std::map<std::string, std::string> results = {}) {
    const size_t i = index_of(plan_, name);
    Event event{.kind = Event::Kind::TaskFinished, .task = i, .attempt = state.tasks[i].attempt};
    event.outcome = {succeeded, false, succeeded ? "Succeeded" : "Failed", "", {}, std::move(results)};
    return feed(std::move(event));
  }
  Scenario& cancel(std::string mode) {
    return feed({.kind = Event::Kind::CancelRequested, .reason = std::move(mode)});
  }
  Scenario& advance(Duration by) {
    clock.advance(by);
    return keep(scheduler_.tick(state, clock.now()));
  }
  Scenario& feed(Event event) {
    event.at = clock.now();
    return keep(scheduler_.advance(state, std::move(event), clock.now()));
  }

  std::string running() const {
    return names([](const TaskState& t) { return t.phase == Phase::Running; });
  }
  std::string skipped() const {
    std::string out;
    for (size_t i = 0; i < plan_.tasks.size(); ++i)
      if (state.tasks[i].phase == Phase::Skipped)
        out += (out.empty() ? "" : "; ") + plan_.tasks[i].name + ": " + state.tasks[i].reason;
    return out;
  }
  std::string stopped() const {
    return names([](const TaskState& t) { return t.phase == Phase::Running && !t.stop_reason.empty(); });
  }
  std::string end() const {
    return state.has_finished ? state.reason + " | " + state.message : "still running";
  }
  const TaskState& of(std::string_view name) const { return state.tasks[index_of(plan_, name)]; }
  std::optional<Time> deadline() const { return scheduler_.next_deadline(state); }

  ~Scenario() {  // whatever a test did, the journal tells the same story
    State replayed;
    for (const Event& event : log)
      apply(plan_, replayed, event_from_json(nlohmann::json::parse(to_json(event, plan_).dump()), plan_));
    EXPECT_TRUE(replayed == state);
  }

  State state;
  std::vector<Event> log;
  ManualClock clock{Time(1000s)};

 private:
  Scenario& keep(std::vector<Event> events) {
    log.insert(log.end(), std::make_move_iterator(events.begin()), std::make_move_iterator(events.end()));
    return *this;
  }
  std::string names(bool (*take)(const TaskState&)) const {
    std::string out;
    for (size_t i = 0; i < plan_.tasks.size(); ++i)
      if (take(state.tasks[i])) out += (out.empty() ? "" : " ") + plan_.tasks[i].name;
    return out;
  }

  dag::Plan plan_;
  Scheduler scheduler_;
};

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

TEST(Scheduler, AResultThatASuccessfulTaskDidNotWriteEndsTheRun) {
  Scenario run(plan_of("  tasks:\n" + task("a") +
                       task("b, params: [{name: v, value: $(tasks.a.results.r)}]") +
                       task("c, runAfter: [b]") + "  finally:\n" + task("z")));
  run.finish("a", true, {});
  EXPECT_EQ(run.skipped(), "b: Failed Validation; c: PipelineRun was stopping");
  EXPECT_EQ(run.running(), "z");
  run.finish("z");
  EXPECT_EQ(run.end(),
            "PipelineValidationFailed | Tasks Completed: 2 (Failed: 0, Cancelled 0), Skipped: 1, Failed "
            "Validation: 1 (task \"a\" completed successfully but did not emit the result \"r\", which is "
            "referenced by task \"b\")");
  EXPECT_FALSE(run.state.succeeded());
}

TEST(Scheduler, AMissingResultSkipsWhoMayGoWithout) {
  Scenario run(plan_of("  tasks:\n" + task("a") +
                       task("b, onError: continue, params: [{name: v, value: $(tasks.a.results.r)}]") +
                       "  finally:\n" + task("z, params: [{name: v, value: $(tasks.a.results.r)}]")));
  run.finish("a", true, {});
  EXPECT_EQ(run.skipped(), "b: Results were missing; z: Results were missing");
  EXPECT_EQ(run.end(), "Completed | Tasks Completed: 1 (Failed: 0, Cancelled 0), Skipped: 2");
}

TEST(Scheduler, AnIgnoredFailureDoesNotExcuseMissingResults) {
  Scenario run(plan_of("  tasks:\n" + task("a, onError: continue") +
                       task("b, params: [{name: v, value: $(tasks.a.results.r)}]")));
  run.finish("a", false, {});
  EXPECT_EQ(
      run.end(),
      "PipelineValidationFailed | Tasks Completed: 1 (Failed: 1 (Ignored: 1), Cancelled 0), Skipped: 0, "
      "Failed Validation: 1 (invalid result reference: Could not find result with name r for pipeline task "
      "a)");
}

TEST(Scheduler, APipelineResultThatASuccessfulTaskDidNotWriteEndsTheRun) {
  const dag::Plan plan =
      plan_of("  results: [{name: x, value: $(tasks.a.results.r)}]\n  tasks:\n" + task("a"));
  Scenario without(plan);
  without.finish("a");
  EXPECT_EQ(
      without.end(),
      "CouldntGetPipelineResult | Failed to get PipelineResult from TaskRun Results for PipelineRun r-1: "
      "invalid pipelineresults [x], the referenced results don't exist");
  Scenario with(plan);
  with.finish("a", true, {{"r", "R"}});
  EXPECT_EQ(with.state.reason, "Succeeded");
  Scenario failed(plan);
  failed.finish("a", false);
  EXPECT_EQ(failed.state.reason, "Failed");
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

TEST(Scheduler, FinallySeesThatATaskFailedThoughItIsIgnored) {
  const dag::Plan plan =
      plan_of("  tasks:\n" + task("a, onError: continue") +
              "  - {name: p, onError: continue, pipelineSpec: {tasks: [{name: t, taskSpec: {steps: [{image: "
              "i}]}}]}}\n" +
              task("skipped, when: [{input: a, operator: in, values: [b]}]") + "  finally:\n" + task("z"));
  Scenario run(plan);
  run.finish("a", false).finish("p", false);
  const StateFacts facts(plan, run.state);
  EXPECT_EQ(facts.aggregate_status(), "Failed");
  EXPECT_EQ(facts.reason(0), "FailureIgnored");
  EXPECT_EQ(facts.reason(1), "Failed") << "only a TaskRun says that it is ignored";
  EXPECT_EQ(facts.reason(2), "") << "what did not run has no reason";
}

TEST(Scheduler, WhatCannotBeStartedIsNotTriedAgain) {
  Scenario run(plan_of(
      "  tasks:\n  - {name: a, taskSpec: {results: [{name: l, type: array}], steps: [{image: i}]}}\n" +
      task("b, retries: 3, params: [{name: v, value: \"$(tasks.a.results.l[2])\"}]")));
  run.finish("a", true, {{"l", "[\"x\"]"}});
  EXPECT_EQ(run.of("b").phase, Phase::Failed);
  EXPECT_EQ(run.of("b").reason, "InvalidTaskResultReference");
  EXPECT_EQ(run.state.reason, "Failed");
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
  EXPECT_EQ(run.end(), "Cancelled | Tasks Completed: 4 (Failed: 0, Cancelled 1), Skipped: 1");
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
  EXPECT_EQ(run.end(), "Cancelled | Tasks Completed: 4 (Failed: 0, Cancelled 0), Skipped: 1");
}

TEST(Scheduler, ACancelledTaskIsNotRetried) {
  Scenario run(plan_of("  tasks:\n" + task("a, retries: 5")));
  run.cancel("CancelledRunFinally").finish("a", false);
  EXPECT_TRUE(run.state.has_finished);
  EXPECT_EQ(run.of("a").phase, Phase::Cancelled);
}

TEST(Scheduler, AnIndexPastTheEndFailsTheTask) {
  Scenario run(plan_of(
      "  tasks:\n  - {name: a, taskSpec: {results: [{name: l, type: array}], steps: [{image: i}]}}\n" +
      task("b, params: [{name: v, value: \"$(tasks.a.results.l[3])\"}]")));
  run.finish("a", true, {{"l", "[\"x\"]"}});
  EXPECT_EQ(run.of("b").reason, "InvalidTaskResultReference");
  EXPECT_EQ(run.of("b").message, "array Result Index 3 for Task a Result l is out of bound of size 1");
  EXPECT_EQ(run.state.reason, "Failed");
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

TEST(Scheduler, BytesThatAreNoTextSurviveTheJournal) {
  const dag::Plan plan = plan_of("  tasks:\n" + task("a"));
  Event event{.kind = Event::Kind::TaskFinished, .at = Time(5ns), .task = 0, .attempt = 1};
  event.outcome = {true,
                   true,
                   "Succeeded",
                   "\xff\xfe",
                   {{"s", 3, "Error", "\xff", "sha256:x", Time(1ns), Time(2ns)}},
                   {{"r", std::string("\0\xff", 2)}}};
  EXPECT_TRUE(event_from_json(nlohmann::json::parse(to_json(event, plan).dump()), plan) == event);
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
