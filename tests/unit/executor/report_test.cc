#include "executor/report.h"

#include <chrono>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/unit/executor/scenario.h"

namespace kiln::executor {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using testing::plan_of;
using testing::Scenario;
using testing::task;

const RunRecord kRun{.id = "r-1", .uid = "u", .kind = "Pipeline", .name = "p", .reason = "Running"};

const std::string kTwo = "  tasks:\n" + task("a") + task("b, runAfter: [a]") + "  finally:\n" + task("z");

std::string reason_now(const dag::Plan& plan, const Scenario& run) {
  return describe(kRun, plan, run.state)["status"]["conditions"][0]["reason"];
}

TEST(Report, ARunUnderWaySaysHowItIsEnding) {
  const dag::Plan plan = plan_of(kTwo, "  timeouts: {pipeline: 1h, tasks: 10m}\n");
  EXPECT_EQ(reason_now(plan, Scenario(plan)), "Running");
  EXPECT_EQ(reason_now(plan, Scenario(plan).cancel("CancelledRunFinally")), "CancelledRunningFinally");
  EXPECT_EQ(reason_now(plan, Scenario(plan).cancel("StoppedRunFinally")), "StoppedRunningFinally");
  EXPECT_EQ(reason_now(plan, Scenario(plan).advance(10min)), "PipelineRunTimeoutRunningFinally");
}

TEST(Report, TheSpecSaysThatTheRunWasCancelled) {
  const dag::Plan plan = plan_of(kTwo);
  Scenario run(plan);
  EXPECT_FALSE(describe(kRun, plan, run.state)["spec"].contains("status"));
  run.cancel("CancelledRunFinally").finish("a", false);
  EXPECT_EQ(describe(kRun, plan, run.state)["spec"]["status"], "CancelledRunFinally");
  const json child = describe_task(kRun, plan, run.state, {0, 0});
  EXPECT_EQ(child["spec"]["status"], "TaskRunCancelled");
  EXPECT_EQ(child["spec"]["statusMessage"],
            "TaskRun cancelled as the PipelineRun it belongs to has been cancelled.");
}

TEST(Report, NoTimeoutIsSaidAloud) {
  EXPECT_EQ(
      describe(kRun, plan_of(kTwo, "  timeouts: {pipeline: \"0\"}\n"), {})["spec"]["timeouts"]["pipeline"],
      "0s")
      << "left out it would mean an hour";
}

TEST(Report, ATaskRunUnderWayNamesItsSteps) {
  const dag::Plan plan = plan_of(kTwo);
  const Scenario run(plan);
  const json status = describe_task(kRun, plan, run.state, {0, 0})["status"];
  EXPECT_EQ(status["conditions"][0]["message"], "Not all Steps in the Task have finished executing");
  EXPECT_EQ(status["steps"], json::parse(R"([{"name": "s", "container": "step-s"}])"));
}

TEST(Report, ACustomTaskIsReferredToAsItWasWritten) {
  const dag::Plan plan = plan_of(
      "  tasks:\n  - {name: w, retries: 1, taskRef: {apiVersion: x/v1, kind: Wait}}\n"
      "  - {name: v, taskSpec: {apiVersion: x/v1, kind: Wait, spec: {a: b}}}\n");
  Scenario run(plan);
  run.finish("w", false);
  const json report = describe(kRun, plan, run.state);
  EXPECT_EQ(report["status"]["childReferences"][0]["apiVersion"], "tekton.dev/v1beta1");
  EXPECT_TRUE(report["spec"]["pipelineSpec"]["tasks"][0].contains("taskRef"));
  EXPECT_TRUE(report["spec"]["pipelineSpec"]["tasks"][1].contains("taskSpec"));
  const json child = describe_task(kRun, plan, run.state, {0, 0});
  EXPECT_EQ(child["spec"]["customRef"], json::parse(R"({"apiVersion": "x/v1", "kind": "Wait"})"));
  EXPECT_FALSE(child["status"]["retriesStatus"][0].contains("steps"));
  EXPECT_TRUE(describe_task(kRun, plan, run.state, {1, 0})["spec"].contains("customSpec"));
}

// The step of a TaskRun that ended so.
json step_of(StepRecord step, std::string reason) {
  const dag::Plan plan = plan_of("  tasks:\n" + task("a"));
  Scenario run(plan);
  Event event{.kind = Event::Kind::TaskFinished, .task = 0};
  event.outcome.reason = std::move(reason);
  step.name = "s";
  event.outcome.steps.push_back(std::move(step));
  run.feed(std::move(event));
  return describe_task(kRun, plan, run.state, {0, 0})["status"]["steps"][0];
}

TEST(Report, AContainerEndsInTheKubeletsWords) {
  const auto reason = [](const char* of_step, int code) {
    return step_of({.exit_code = code, .reason = of_step}, "StepFailed")["terminated"]["reason"];
  };
  EXPECT_EQ(reason("Error", 3), "Error");
  EXPECT_EQ(reason("TimeoutExceeded", 1), "Error");
  EXPECT_EQ(reason("Continued", 3), "Completed");
  EXPECT_EQ(reason("OOMKilled", 137), "OOMKilled");
}

TEST(Report, AStepThatItsTaskRunEndedSaysSo) {
  const json step = step_of({.exit_code = 143, .reason = "TaskRunTimeout", .message = "x"}, "TaskRunTimeout");
  EXPECT_EQ(step["terminated"]["exitCode"], 1);
  EXPECT_EQ(step["terminated"]["reason"], "TaskRunTimeout");
  EXPECT_EQ(step["terminated"]["message"], "Step s terminated as pod r-1-a-pod is terminated");
}

TEST(Report, APendingTaskRunIsATaskRun) {
  dag::Plan plan = plan_of("  tasks:\n" + task("a"));
  plan.kind = dag::Plan::Kind::Task;
  plan.status = "TaskRunPending";
  const RunRecord run{.id = "r-1", .kind = "Task", .name = "a", .reason = "TaskRunPending", .message = "m"};
  const json report = describe(run, plan, {});
  EXPECT_EQ(report["kind"], "TaskRun");
  EXPECT_EQ(report["spec"]["status"], "TaskRunPending");
  EXPECT_TRUE(report["spec"].contains("taskSpec"));
  EXPECT_EQ(report["status"]["conditions"][0]["reason"], "TaskRunPending");
  EXPECT_FALSE(report["status"].contains("startTime"));
}

}  // namespace
}  // namespace kiln::executor
