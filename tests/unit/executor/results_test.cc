// What tasks leave, and what becomes of those that want it.
#include "tests/unit/executor/scenario.h"

namespace kiln::executor {
namespace {

using namespace std::chrono_literals;
using testing::plan_of;
using testing::Scenario;
using testing::task;

TEST(Results, AResultThatASuccessfulTaskDidNotWriteEndsTheRun) {
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

TEST(Results, AMissingResultSkipsWhoMayGoWithout) {
  Scenario run(plan_of("  tasks:\n" + task("a") +
                       task("b, onError: continue, params: [{name: v, value: $(tasks.a.results.r)}]") +
                       "  finally:\n" + task("z, params: [{name: v, value: $(tasks.a.results.r)}]")));
  run.finish("a", true, {});
  EXPECT_EQ(run.skipped(), "b: Results were missing; z: Results were missing");
  EXPECT_EQ(run.end(), "Completed | Tasks Completed: 1 (Failed: 0, Cancelled 0), Skipped: 2");
}

TEST(Results, AnIgnoredFailureDoesNotExcuseMissingResults) {
  Scenario run(plan_of("  tasks:\n" + task("a, onError: continue") +
                       task("b, params: [{name: v, value: $(tasks.a.results.r)}]")));
  run.finish("a", false, {});
  EXPECT_EQ(
      run.end(),
      "PipelineValidationFailed | Tasks Completed: 1 (Failed: 1 (Ignored: 1), Cancelled 0), Skipped: 0, "
      "Failed Validation: 1 (invalid result reference: Could not find result with name r for pipeline task "
      "a)");
}

TEST(Results, APipelineResultThatASuccessfulTaskDidNotWriteEndsTheRun) {
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

TEST(Results, FinallySeesThatATaskFailedThoughItIsIgnored) {
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

// A task that wants $(tasks.a.results.l[2]), beside one that runs.
const std::string kPastTheEnd =
    "  tasks:\n  - {name: a, taskSpec: {results: [{name: l, type: array}], steps: [{image: i}]}}\n" +
    task("b, onError: continue, params: [{name: v, value: \"$(tasks.a.results.l[2])\"}]") +
    task("c, runAfter: [b]") + task("beside") + "  finally:\n" + task("z");

TEST(Results, AnIndexPastTheEndFailsTheRunAndNoTask) {
  Scenario run(plan_of(kPastTheEnd));
  run.finish("a", true, {{"l", "[\"x\"]"}});
  EXPECT_EQ(run.of("b").phase, Phase::Skipped) << "there never was a TaskRun";
  EXPECT_EQ(run.of("b").started, Time{});
  EXPECT_EQ(run.stopped(), "beside");
  run.finish("beside", false);
  EXPECT_EQ(run.of("z").phase, Phase::Skipped);
  EXPECT_EQ(
      run.end(),
      "PipelineValidationFailed | PipelineRun default/r-1 can't be Run; couldn't resolve all references: "
      "array Result Index 2 for Task a Result l is out of bound of size 1");
  EXPECT_FALSE(run.state.succeeded()) << "onError is about the task";
}

TEST(Results, AWhenThatCannotBeEvaluatedFailsTheRun) {
  Scenario run(plan_of("  tasks:\n" + task("a") +
                       task("b, onError: continue, when: [{cel: \"int('$(tasks.a.results.r)') == 2\"}]")));
  run.finish("a", true, {{"r", "x"}});
  EXPECT_EQ(run.of("b").phase, Phase::Skipped);
  EXPECT_EQ(run.state.reason, "CELEvaluationFailed");
  EXPECT_TRUE(run.state.message.starts_with("Error evaluating CEL r-1: ")) << run.state.message;
}

TEST(Results, BytesThatAreNoTextSurviveTheJournal) {
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

}  // namespace
}  // namespace kiln::executor
