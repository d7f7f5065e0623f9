// What a step hands to its StepAction.
#include <gtest/gtest.h>

#include "dag/resolve.h"
#include "dag/step_outputs.h"
#include "tests/unit/dag/support.h"

namespace kiln::dag {
namespace {

const std::string kAction =
    "apiVersion: tekton.dev/v1beta1\nkind: StepAction\nmetadata: {name: act}\nspec:\n"
    "  params:\n"
    "  - {name: list, type: array, default: [d0, d1]}\n"
    "  - {name: thing, type: object, properties: {k: {type: string}}, default: {k: dk}}\n"
    "  image: i\n"
    "  args: ['$(params.list[*])', '$(params.list[1])', '-$(params.thing.k)-']\n"
    "  env: [{name: E, value: '$(params.list[0]) $(params.thing.k)'}]\n---\n";

Step resolved(const std::string& params) {
  const Plan plan = testing::plan_of(
      kAction +
      "apiVersion: tekton.dev/v1\nkind: TaskRun\nmetadata: {name: r}\nspec:\n"
      "  params: [{name: text, value: x}]\n"
      "  taskSpec:\n"
      "    steps:\n"
      "    - {name: first, image: i, results: [{name: a, type: array}, {name: o, type: object, "
      "properties: {k: {type: string}}}]}\n"
      "    - {name: second, ref: {name: act}, params: [" +
      params + "]}\n");
  return plan.tasks.empty() ? Step{} : resolve_task(plan, 0, no_facts(), {"r", "u"}).spec.steps.at(1);
}

std::vector<std::string> args_of(const Step& step) {
  return {step.args.begin(), step.args.end()};
}

TEST(StepAction, DefaultsFillWhatIsNotGiven) {
  const Step step = resolved("");
  EXPECT_EQ(args_of(step), (std::vector<std::string>{"d0", "d1", "d1", "-dk-"}));
  EXPECT_EQ(step.env.at(0).value.value, "d0 dk");
}

TEST(StepAction, ItemsAndKeysOfAParamThatIsAStepResultAreThoseOfTheResult) {
  Step step = resolved(
      "{name: list, value: '$(steps.first.results.a[*])'}, {name: thing, value: "
      "'$(steps.first.results.o[*])'}");
  substitute_step_outputs(
      step,
      {{{"first", {{"a", ParamValue::array({"r0", "r1", "r2"})}, {"o", ParamValue::object({{"k", "rk"}})}}}},
       {}});
  EXPECT_EQ(args_of(step), (std::vector<std::string>{"r0", "r1", "r2", "r1", "-rk-"}));
  EXPECT_EQ(step.env.at(0).value.value, "r0 rk");
}

// As Tekton does it: the value given is a string, and the keys of the default are still there.
TEST(StepAction, AStringForAnObjectLeavesTheDefaultsKeys) {
  EXPECT_EQ(args_of(resolved("{name: thing, value: '$(params.text[*])'}")).back(), "-dk-");
}

}  // namespace
}  // namespace kiln::dag
