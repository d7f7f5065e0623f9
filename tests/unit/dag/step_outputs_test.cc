#include "dag/step_outputs.h"

#include <gmock/gmock.h>

#include "dag/artifacts.h"
#include "dag/matrix.h"
#include "dag/resolve.h"
#include "tests/unit/dag/support.h"

namespace kiln::dag {
namespace {

using ::testing::ElementsAre;
using testing::plan_of;

const std::string kTask = "apiVersion: tekton.dev/v1\nkind: Task\nmetadata: {name: t}\nspec:\n";

Step step_of(const std::string& fields) {
  const Plan plan =
      plan_of(kTask +
              "  steps:\n  - {name: a, image: i, script: x, results: [{name: s}, {name: l, type: "
              "array}, {name: o, type: object, properties: {k: {type: string}}}]}\n"
              "  - name: b\n    image: i\n" +
              fields);
  return plan.tasks.empty() ? Step{} : resolve_task(plan, 0, no_facts(), {"r", "u"}).spec.steps.at(1);
}

const StepOutputs kLeft{
    {{"a",
      {{"s", ParamValue::string("$(HOME) $")},
       {"l", ParamValue::array({"x", "$y"})},
       {"o", ParamValue::object({{"k", "v"}})}}}},
    {{"a", R"({"outputs":[{"name":"image","values":[{"uri":"u","digest":{"sha256":"d"}}]}],)"
           R"("inputs":[{"name":"i","values":[]}]})"}}};

TEST(StepOutputs, AreEscapedWhereTheContainerExpandsVariablesOnceMore) {
  Step step = step_of(
      "    command: [c, '$(steps.a.results.s)']\n    args: ['$(steps.a.results.l[*])', "
      "'-$(steps.a.results.l[1])', '$(steps.a.results.o.k)']\n"
      "    env: [{name: E, value: '<$(steps.a.results.s)>'}]\n"
      "    when: [{input: '$(steps.a.results.s)', operator: in, values: ['$(HOME) $']}]\n");
  EXPECT_THAT(substitute_step_outputs(step, kLeft), ElementsAre());
  EXPECT_EQ(step.command.at(1).value, "$$(HOME) $$");
  EXPECT_THAT(std::vector<std::string>(step.args.begin(), step.args.end()),
              ElementsAre("x", "$$y", "-$$y", "v"));
  EXPECT_EQ(step.env.at(0).value.value, "<$$(HOME) $$>");
  EXPECT_TRUE(evaluate_when(step.when).holds) << step.when.at(0).input.value;
}

TEST(StepOutputs, ArtifactsAlsoGoIntoTheScript) {
  Step step = step_of("    script: '$(steps.a.outputs.image) $(steps.a.inputs) $(steps.a.outputs.none)'\n");
  EXPECT_THAT(substitute_step_outputs(step, kLeft), ElementsAre("$(steps.a.outputs.none)"));
  EXPECT_EQ(step.script.value, R"([{"digest":{"sha256":"d"},"uri":"u"}] [] $(steps.a.outputs.none))");
}

TEST(StepOutputs, WhatWasNotLeftIsNamedAndStaysAsItIs) {
  Step step = step_of("    command: ['$(steps.a.results.s)', '$(steps.a.results.l[7])']\n");
  EXPECT_THAT(substitute_step_outputs(step, {}),
              ElementsAre("$(steps.a.results.l[7])", "$(steps.a.results.s)"));
  EXPECT_EQ(step.command.at(0).value, "$(steps.a.results.s)");
  EXPECT_THAT(substitute_step_outputs(step, kLeft), ElementsAre("$(steps.a.results.l[7])"));
}

TEST(StepOutputs, ATaskTakesResultsFromItsSteps) {
  const Plan plan = plan_of(
      kTask +
      "  results: [{name: own}, {name: one, value: $(steps.a.results.s)}, {name: all, type: array, value: "
      "'$(steps.a.results.l[*])'}, {name: gone, value: $(steps.a.results.m)}]\n"
      "  steps: [{name: a, image: i, script: x, results: [{name: s}, {name: m}, {name: l, type: array}]}]\n");
  ASSERT_FALSE(plan.tasks.empty());
  const auto taken = results_from_steps(*plan.tasks[0].spec, kLeft);
  EXPECT_EQ(taken, (std::map<std::string, ParamValue>{{"one", ParamValue::string("$(HOME) $")},
                                                      {"all", ParamValue::array({"x", "$y"})}}));
}

TEST(Artifacts, WithoutANameAreTheFirstAndHostileOnesAreNone) {
  EXPECT_EQ(
      artifact_values(R"({"outputs":[{"name":"a","values":[1]},{"name":"b","values":[2]}]})", "outputs"),
      "[1]");
  EXPECT_EQ(
      artifact_values(R"({"outputs":[{"name":"a","values":[1]},{"name":"b","values":[2]}]})", "outputs", "b"),
      "[2]");
  for (const char* text : {"", "[]", "{", "{\"outputs\":{}}", "{\"outputs\":[3,{\"name\":4}]}", "null",
                           "{\"outputs\":[{\"name\":\"b\"}]}"})
    EXPECT_EQ(artifact_values(text, "outputs", "b"), std::nullopt) << text;
}

class ArtifactFacts final : public RunFacts {
 public:
  const ParamValue* result(size_t, std::string_view) const override { return nullptr; }
  std::string_view status(size_t) const override { return "Succeeded"; }
  std::string_view reason(size_t) const override { return "Succeeded"; }
  std::string_view aggregate_status() const override { return "None"; }
  std::optional<std::string> artifact(size_t, std::string_view kind, std::string_view name) const override {
    return std::string(kind) + "/" + std::string(name);
  }
};

TEST(Artifacts, OfATaskArriveInTheTasksAfterIt) {
  const Plan plan = plan_of(testing::pipeline(
      "  tasks:\n  - {name: a, taskSpec: {steps: [{image: i, script: x}]}}\n"
      "  - name: b\n    params: [{name: p, value: '$(tasks.a.outputs.image) $(tasks.a.inputs.src)'}]\n"
      "    taskSpec:\n      params: [{name: p}]\n      steps: [{image: i, script: '$(params.p)'}]\n"));
  ASSERT_EQ(plan.tasks.size(), 2u);
  EXPECT_EQ(resolve_task(plan, 1, ArtifactFacts(), {"r", "u"}).spec.steps.at(0).script.value,
            "outputs/image inputs/src");
}

TEST(Artifacts, HaveTheirPathsAndIsolatedWorkspacesTheirs) {
  const Plan plan = plan_of(
      kTask +
      "  workspaces: [{name: w}]\n  steps:\n"
      "  - {name: a, image: i, workspaces: [{name: w, mountPath: /mine}], script: '$(workspaces.w.path) "
      "$(artifacts.path) $(step.artifacts.path)'}\n"
      "  - {name: b, image: i, workspaces: [{name: w}], script: '$(workspaces.w.path)'}\n"
      "  sidecars:\n  - {name: s, image: i, workspaces: [{name: w, mountPath: /its}], script: "
      "'$(workspaces.w.path)'}\n");
  ASSERT_FALSE(plan.tasks.empty());
  const TaskSpec spec = resolve_task(plan, 0, no_facts(), {"r", "u"}).spec;
  EXPECT_EQ(spec.steps.at(0).script.value,
            "/mine /tekton/artifacts/provenance.json /tekton/steps/step-a/artifacts/provenance.json");
  EXPECT_EQ(spec.steps.at(1).script.value, "/workspace/w");
  EXPECT_EQ(spec.sidecars.at(0).script.value, "/its");
}

TEST(Matrix, OneCombinationIsThatOfAllOfThem) {
  const auto param = [](const char* name, std::vector<std::string> items) {
    return Param{{name, {}}, ParamValue::array(std::move(items)), {}};
  };
  const auto include = [](std::map<std::string, std::string> fields) {
    MatrixInclude out;
    for (const auto& [name, value] : fields)
      out.params.push_back({{name, {}}, ParamValue::string(value), {}});
    return out;
  };
  Matrix matrix;
  matrix.params = {param("a", {"1", "2", "3"}), param("b", {"x", "y"})};
  matrix.include = {include({{"a", "2"}, {"c", "C"}}), include({{"a", "9"}}), include({{"d", "D"}})};
  const auto all = combinations(matrix);
  ASSERT_GT(all.size(), 6u);
  for (size_t i = 0; i <= all.size(); ++i) {
    const std::vector<Param> one = combination_at(matrix, i);
    ASSERT_EQ(one.size(), i < all.size() ? all[i].size() : 0) << i;
    for (size_t k = 0; k < one.size(); ++k) {
      EXPECT_EQ(one[k].name.value, all[i][k].name.value);
      EXPECT_EQ(one[k].value, all[i][k].value);
    }
  }
}

}  // namespace
}  // namespace kiln::dag
