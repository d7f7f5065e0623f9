// Pipelines inside pipelines, custom tasks, and what cannot be run yet.
#include <gtest/gtest.h>

#include "dag/graph.h"
#include "dag/resolve.h"
#include "tests/unit/dag/support.h"

namespace kiln::dag {
namespace {

using testing::compile_text;
using testing::kStep;
using testing::messages;
using testing::pipeline;
using testing::plan_of;

const RunContext kContext{"r", "u", "default"};

class OneResult final : public RunFacts {
 public:
  explicit OneResult(std::string text) : value_(ParamValue::string(std::move(text))) {}
  const ParamValue* result(size_t, std::string_view) const override { return &value_; }
  std::string_view status(size_t) const override { return "Succeeded"; }
  std::string_view reason(size_t) const override { return "Succeeded"; }
  std::string_view aggregate_status() const override { return "Succeeded"; }

 private:
  ParamValue value_;
};

// The Plan of what a task of kind Pipeline runs.
Plan inner_of(const Plan& plan, size_t task, const RunFacts& facts = no_facts()) {
  Compiled compiled = recompile(plan.sources, plan.remote, nested_request(plan, task, facts, kContext));
  EXPECT_TRUE(compiled.plan) << messages(compiled.diagnostics);
  return compiled.plan ? std::move(*compiled.plan) : Plan{};
}

std::string script(const Plan& plan, size_t task) {
  return resolve_task(plan, task, no_facts(), kContext).spec.steps.at(0).script;
}

TEST(Nested, AnInlinePipelineGetsItsParamsWhenItStarts) {
  const Plan plan =
      plan_of(pipeline("  params: [{name: who, default: me}, {name: tag, default: outer}]\n"
                       "  workspaces: [{name: src}]\n"
                       "  tasks:\n"
                       "    - name: first\n"
                       "      taskSpec: {results: [{name: 'n'}], steps: [{image: i, script: x}]}\n"
                       "    - name: inner\n"
                       "      params: [{name: tag, value: $(params.who)-$(tasks.first.results.n)}]\n"
                       "      workspaces: [{name: in, workspace: src, subPath: sub}]\n"
                       "      pipelineSpec:\n"
                       "        params: [{name: tag}]\n"
                       "        workspaces: [{name: in}]\n"
                       "        results: [{name: out, value: $(tasks.a.results.r)}]\n"
                       "        tasks:\n"
                       "          - name: a\n"
                       "            workspaces: [{name: in, subPath: deeper}]\n"
                       "            taskSpec:\n"
                       "              workspaces: [{name: in}]\n"
                       "              results: [{name: r}]\n"
                       "              steps: [{image: i, script: $(params.tag) $(params.who)}]\n"
                       "    - name: last\n"
                       "      params: [{name: p, value: $(tasks.inner.results.out)}]\n"
                       "      taskSpec: {params: [{name: p}], steps: [{image: i, script: x}]}\n"));
  ASSERT_EQ(plan.tasks.size(), 3u);
  EXPECT_EQ(plan.tasks[1].kind, PlannedTask::Kind::Pipeline);
  ASSERT_TRUE(plan.tasks[1].pipeline);
  EXPECT_EQ(plan.tasks[1].pipeline->tasks.size(), 1u);
  EXPECT_EQ(plan.tasks[2].needs.at(0).from, 1u);

  const Plan inner = inner_of(plan, 1, OneResult("7"));
  ASSERT_EQ(inner.tasks.size(), 1u);
  EXPECT_EQ(script(inner, 0), "me-7 me");
  const TaskWorkspace& workspace = inner.tasks[0].workspaces.at(0);
  EXPECT_EQ(workspace.binding.folder, "src");
  EXPECT_EQ(workspace.binding.sub_path.value, "sub/deeper");
}

TEST(Nested, AReferredPipelineSeesOnlyWhatItIsPassed) {
  const std::string text = pipeline(
                               "  params: [{name: who, default: me}]\n"
                               "  tasks: [{name: inner, pipelineRef: {name: q}}]\n") +
                           "---\napiVersion: tekton.dev/v1\nkind: Pipeline\nmetadata: {name: q}\nspec:\n"
                           "  params: [{name: x, default: fallback}]\n"
                           "  tasks: [{name: a, taskSpec: {steps: [{image: i, script: $(params.x)}]}}]\n";
  const Plan plan = plan_of(text);  // p, which no other refers to
  EXPECT_EQ(plan.name, "p");
  EXPECT_EQ(plan.tasks[0].task_name, "q");
  const Plan inner = inner_of(plan, 0);
  EXPECT_EQ(inner.name, "q");
  EXPECT_EQ(script(inner, 0), "fallback");
}

TEST(Nested, ReachesTwoLevelsDown) {
  const Plan plan = plan_of(
      pipeline("  params: [{name: v, default: one}]\n"
               "  tasks:\n"
               "    - name: outer\n"
               "      params: [{name: v, value: $(params.v)-two}]\n"
               "      pipelineSpec:\n"
               "        params: [{name: v}]\n"
               "        tasks:\n"
               "          - name: middle\n"
               "            params: [{name: v, value: $(params.v)-three}]\n"
               "            pipelineSpec:\n"
               "              params: [{name: v}]\n"
               "              tasks: [{name: a, taskSpec: {steps: [{image: i, script: $(params.v)}]}}]\n"));
  const Plan middle = inner_of(plan, 0);
  const Plan innermost = inner_of(middle, 0);
  EXPECT_EQ(script(innermost, 0), "one-two-three");
}

TEST(Nested, ParamsAreChecked) {
  const std::string said = messages(compile_text(pipeline("  tasks:\n"
                                                          "    - name: inner\n"
                                                          "      pipelineSpec:\n"
                                                          "        params: [{name: tag}]\n"
                                                          "        tasks: [{name: a, runAfter: [b], " +
                                                          kStep + "}]\n"))
                                        .diagnostics);
  EXPECT_NE(
      said.find("pipeline task \"inner\": missing values for these params which have no default values: "
                "[tag]"),
      std::string::npos)
      << said;
  EXPECT_NE(said.find("task a depends on b but b wasn't present in Pipeline"), std::string::npos) << said;
}

TEST(Nested, APipelineThatRunsItselfIsACycle) {
  const std::string ref =
      "apiVersion: tekton.dev/v1\nkind: Pipeline\nmetadata: {name: q}\nspec:\n"
      "  tasks: [{name: t, pipelineRef: {name: p}}]\n---\n";
  const Compiled compiled =
      compile_text(ref + pipeline("  tasks: [{name: t, pipelineRef: {name: q}}]\n"), {.target = "p"});
  const std::string said = messages(compiled.diagnostics);
  EXPECT_NE(said.find("pipeline \"p\" runs itself\n  hint: the whole cycle: p → q → p"), std::string::npos)
      << said;
}

TEST(Nested, CustomTasksKeepWhatTheirControllerReads) {
  const Plan plan = plan_of(pipeline(
      "  tasks:\n"
      "    - name: wait\n"
      "      taskRef: {apiVersion: example.dev/v1, kind: Wait, name: w}\n"
      "      params: [{name: for, value: 3s}]\n"
      "    - name: inline\n"
      "      params: [{name: x, value: $(tasks.wait.results.anything)}]\n"
      "      taskSpec: {apiVersion: example.dev/v1, kind: Loop, spec: {times: 3, names: [a, 'yes']}}\n"));
  ASSERT_TRUE(plan.tasks[0].custom);
  EXPECT_EQ(plan.tasks[0].custom->kind, "Wait");
  EXPECT_EQ(plan.tasks[0].custom->name, "w");
  EXPECT_EQ(plan.tasks[1].custom->spec, R"({"times":3,"names":["a","yes"]})");
  EXPECT_EQ(plan.tasks[1].needs.at(0).from, 0u);
  EXPECT_EQ(resolve_task(plan, 0, no_facts(), kContext).params.at(0).value.text, "3s");
}

TEST(Nested, ACustomRunStandsAlone) {
  const Plan plan = plan_of(
      "apiVersion: tekton.dev/v1beta1\nkind: CustomRun\nmetadata: {generateName: w-}\n"
      "spec: {customRef: {apiVersion: example.dev/v1, kind: Wait}, retries: 2}\n");
  EXPECT_EQ(plan.kind_name(), "CustomRun");
  EXPECT_EQ(plan.tasks.at(0).retries, 2);
}

TEST(Nested, WhatCannotRunYetIsSaidByPlace) {
  const Plan plan = plan_of(
      pipeline("  tasks:\n"
               "    - name: a\n"
               "      taskRef: {apiVersion: example.dev/v1, kind: Loop}\n"
               "    - name: b\n"
               "      taskSpec:\n"
               "        sidecars: [{name: db, image: postgres, ports: [{name: sql, containerPort: 5}], "
               "readinessProbe: {tcpSocket: {port: sq1}}, livenessProbe: {grpc: {port: sql}}}]\n"
               "        steps: [{image: i, script: x}]\n"));
  const std::string said = messages(unsupported(plan));
  EXPECT_NE(said.find("p.yaml:6:13: error: a custom task of kind Loop cannot be run yet"), std::string::npos)
      << said;
  EXPECT_NE(said.find("error: no port of sidecar db is called \"sq1\""), std::string::npos) << said;
  EXPECT_EQ(said.find("\"sql\""), std::string::npos) << said;
  EXPECT_TRUE(unsupported(plan_of(pipeline("  tasks: [{name: a, " + kStep + "}]\n"))).empty());
}

TEST(Nested, GraphsShowTheInside) {
  const Plan plan =
      plan_of(pipeline("  tasks:\n"
                       "    - name: inner\n"
                       "      pipelineSpec: {tasks: [{name: a, " +
                       kStep + "}, {name: b, runAfter: [a], " + kStep +
                       "}]}\n"
                       "    - name: many\n"
                       "      runAfter: [inner]\n"
                       "      matrix: {params: [{name: x, value: [\"1\", \"2\"]}]}\n"
                       "      taskSpec: {params: [{name: x}], steps: [{image: i, script: x}]}\n"));
  EXPECT_EQ(graph_ascii(plan),
            "Pipeline p\n"
            "  inner  [pipeline]\n"
            "  │  a\n"
            "  │    b  ← a (runAfter)\n"
            "    many  ← inner (runAfter)  [matrix ×2]\n");
  EXPECT_NE(graph_dot(plan).find("subgraph \"cluster inner\""), std::string::npos);
  EXPECT_NE(graph_mermaid(plan).find("subgraph t0[\"inner\"]"), std::string::npos);
}

}  // namespace
}  // namespace kiln::dag
