#include "executor/step_flow.h"

#include <gmock/gmock.h>

#include "base/error.h"
#include "dag/resolve.h"
#include "executor/pod_spec.h"
#include "tests/unit/executor/support.h"

namespace kiln::executor {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

PodRequest pod_of(const std::string& task) {
  const dag::Plan plan = testing::plan_of("  tasks:\n  - name: t\n    taskSpec:\n" + task);
  return make_pod(plan, 0, dag::resolve_task(plan, 0, dag::no_facts(), {"r", "u", "default"}), "r", {},
                  {"/runs/r", "/runs/r/workspaces", "/claims"});
}

std::vector<steps::StepOutcome> left(std::string value) {
  steps::StepOutcome one;
  one.name = "one";
  one.results["r"] = std::move(value);
  return {one};
}

constexpr const char* kFirst = "      - {name: one, image: i, script: x, results: [{name: r}]}\n";

TEST(StepFlow, NoGuideWhereNoStepNeedsOne) {
  EXPECT_FALSE(pod_of(std::string("      steps:\n") + kFirst).spec.guide);
}

TEST(StepFlow, PutsResultsIntoWhatTheDocumentWroteAndNothingElse) {
  PodRequest pod =
      pod_of(std::string("      steps:\n") + kFirst +
             "      - {name: two, image: i, command: [c, '$(steps.one.results.r)'], env: [{name: A, "
             "value: '<$(steps.one.results.r)>'}, {name: B, value: plain}]}\n");
  steps::StepSpec step = pod.spec.steps.at(1);
  step.env.emplace_back("SECRET", "$$(steps.one.results.r)");
  EXPECT_TRUE(pod.spec.guide(1, step, left("$V")).run);
  EXPECT_THAT(step.command, ElementsAre("c", "$$V"));
  EXPECT_THAT(step.env,
              ElementsAre(Pair("A", "<$$V>"), Pair("B", "plain"), Pair("SECRET", "$$(steps.one.results.r)")));
}

TEST(StepFlow, WhenDecidesAndABrokenExpressionIsAnError) {
  const PodRequest pod = pod_of(
      std::string("      steps:\n") + kFirst +
      "      - {name: two, image: i, script: x, when: [{input: $(steps.one.results.r), operator: in, values: "
      "[a]}]}\n"
      "      - {name: three, image: i, script: x, when: [{cel: \"'$(steps.one.results.r)' == 'a'\"}]}\n");
  steps::StepSpec two = pod.spec.steps.at(1), three = pod.spec.steps.at(2);
  EXPECT_TRUE(pod.spec.guide(1, two, left("a")).run);
  EXPECT_FALSE(pod.spec.guide(1, two, left("b")).run);
  EXPECT_TRUE(pod.spec.guide(2, three, left("a")).run);
  EXPECT_THROW(pod.spec.guide(2, three, left("it's")), Error);
}

TEST(StepFlow, SaysWhatNoStepLeft) {
  const PodRequest pod = pod_of(std::string("      steps:\n") + kFirst +
                                "      - {name: two, image: i, command: ['$(steps.one.results.r)']}\n");
  steps::StepSpec step = pod.spec.steps.at(1);
  steps::StepOutcome none;
  none.name = "one";
  EXPECT_THAT(pod.spec.guide(1, step, {none}).notes, ElementsAre(HasSubstr("$(steps.one.results.r) stays")));
  EXPECT_THAT(step.command, ElementsAre("$(steps.one.results.r)"));
}

TEST(StepFlow, ATasksResultMayBeItsSteps) {
  const PodRequest pod = pod_of(
      std::string("      results: [{name: mine, value: $(steps.one.results.r)}]\n      steps:\n") + kFirst);
  steps::PodOutcome outcome;
  outcome.steps = left("v\n");
  pod.flow.finish(outcome);
  EXPECT_THAT(outcome.results, ElementsAre(Pair("mine", "v\n")));
}

}  // namespace
}  // namespace kiln::executor
