// Old documents all the way to a Plan.
#include <algorithm>
#include <gtest/gtest.h>

#include "tests/unit/dag/support.h"

namespace kiln::dag {
namespace {

using testing::compile_text;
using testing::messages;
using testing::plan_of;

// As one would have written it in 2019: the run and the resources it names first, the rest after them.
const std::string k2019 = R"yaml(
apiVersion: tekton.dev/v1alpha1
kind: PipelineRun
metadata: {name: ship}
spec:
  pipelineRef: {name: ship}
  trigger: {type: manual}
  serviceAccount: builder
  timeout: 30m
  resources:
  - {name: source, resourceRef: {name: shop-git}}
  - name: image
    resourceSpec: {type: image, params: [{name: url, value: "localhost:5000/shop:1"}]}
---
apiVersion: tekton.dev/v1alpha1
kind: PipelineResource
metadata: {name: shop-git}
spec:
  type: git
  params:
  - {name: URL, value: file:///srv/git/shop}
  - {name: revision, value: v1.2}
---
apiVersion: tekton.dev/v1alpha1
kind: Pipeline
metadata: {name: ship}
spec:
  params: [{name: env, default: test}]
  resources: [{name: source, type: git}, {name: image, type: image}]
  tasks:
  - name: deploy
    taskRef: {name: deploy}
    params: [{name: where, value: "${params.env}"}]
    resources:
      inputs:
      - {name: workspace, resource: source}
      - {name: image, resource: image, from: [build]}
  - name: build
    taskRef: {name: build-push, kind: ClusterTask}
    resources:
      inputs: [{name: workspace, resource: source}]
      outputs: [{name: builtImage, resource: image}]
---
apiVersion: tekton.dev/v1alpha1
kind: ClusterTask
metadata: {name: build-push}
spec:
  inputs:
    resources: [{name: workspace, type: git}]
    params: [{name: dockerfile, default: "${inputs.resources.workspace.path}/Dockerfile"}]
  outputs: {resources: [{name: builtImage, type: image}]}
  steps:
  - name: build-and-push
    image: builder
    args: ["--dockerfile=${inputs.params.dockerfile}", "--destination=${outputs.resources.builtImage.url}"]
    resources: {limits: {memory: 1Gi}}
---
apiVersion: tekton.dev/v1alpha1
kind: Task
metadata: {name: deploy}
spec:
  inputs:
    resources: [{name: workspace, type: git}, {name: image, type: image}]
    params: [{name: where}]
  steps:
  - name: replace
    image: alpine
    command: [sh, -c]
    args: ["sed -i s,IMAGE,$(inputs.resources.image.url), ${inputs.resources.workspace.path}/$(inputs.params.where).yaml; echo ${HOME}"]
)yaml";

std::string value_of(const std::vector<Param>& params, const std::string& name) {
  const auto found = std::ranges::find_if(params, [&](const Param& p) { return p.name.value == name; });
  return found == params.end() ? "none" : found->value.text;
}

TEST(ConvertCompile, APipelineFrom2019) {
  const Plan plan = plan_of(k2019);
  ASSERT_EQ(plan.tasks.size(), 2u);
  const PlannedTask& build = plan.tasks[0];
  const PlannedTask& deploy = plan.tasks[1];
  EXPECT_EQ(build.name, "build");
  EXPECT_EQ(deploy.name, "deploy");
  EXPECT_EQ(plan.timeout, std::chrono::minutes(30));
  EXPECT_EQ(value_of(plan.params, "source.url"), "file:///srv/git/shop");
  EXPECT_EQ(value_of(plan.params, "source.revision"), "v1.2");
  EXPECT_EQ(value_of(plan.params, "source.submodules"), "true");
  EXPECT_EQ(value_of(plan.params, "image.url"), "localhost:5000/shop:1");

  ASSERT_EQ(build.spec->steps.size(), 2u);
  ASSERT_EQ(deploy.spec->steps.size(), 2u);
  const Step& clone = build.spec->steps.front();
  EXPECT_EQ(clone.name.value, "git-source-workspace");
  EXPECT_EQ(clone.image.value, "kiln");
  EXPECT_EQ(clone.args.front().value, "git-clone");
  EXPECT_EQ(clone.args.back().value, "/workspace/workspace");
  EXPECT_EQ(build.spec->steps[1].args[0].value, "--dockerfile=$(params.dockerfile)");
  EXPECT_EQ(build.spec->steps[1].resources.memory_limit.value, "1Gi");
  EXPECT_EQ(deploy.spec->steps[1].args[0].value,
            "sed -i s,IMAGE,$(params[\"inputs.image.url\"]), /workspace/workspace/$(params.where).yaml; echo "
            "${HOME}");
}

TEST(ConvertCompile, TheCommandLineWinsOverAResource) {
  const Plan plan = plan_of(k2019, {.params = {{"source.revision", "main"}}});
  EXPECT_EQ(value_of(plan.params, "source.revision"), "main");
  EXPECT_EQ(value_of(plan.params, "source.url"), "file:///srv/git/shop");
}

TEST(ConvertCompile, WhatNobodyGivesIsAMissingParam) {
  const std::string pipeline =
      k2019.substr(k2019.find("---\napiVersion: tekton.dev/v1alpha1\nkind: Pipeline\n"));
  const Compiled compiled = compile_text(pipeline);
  EXPECT_FALSE(compiled.plan);
  EXPECT_NE(messages(compiled.diagnostics).find("add -p source.url=… -p image.url=…"), std::string::npos)
      << messages(compiled.diagnostics);
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

void expect_said(const std::string& text, const std::string& expected) {
  const Compiled compiled = compile_text(text);
  EXPECT_FALSE(compiled.plan) << expected;
  EXPECT_NE(messages(compiled.diagnostics).find(expected), std::string::npos)
      << expected << "\n"
      << messages(compiled.diagnostics);
}

TEST(ConvertCompile, WrongBindingsAreToldWithTheirPlace) {
  expect_said(replaced(k2019, "resourceRef: {name: shop-git}", "resourceRef: {name: shop-gti}"),
              "11:40: error: PipelineResource \"shop-gti\" is not among the documents loaded");
  expect_said(replaced(k2019, "{type: image, params", "{type: git, params"),
              "12:11: error: resource `image` has to be of type image, this one is of type git");
  expect_said(replaced(k2019, "- {name: source, resourceRef", "- {name: sorce, resourceRef"),
              "what runs has no resource `sorce`");
  expect_said(replaced(k2019, "- {name: source, resourceRef", "- {name: sorce, resourceRef"),
              "missing values for these params which have no default values: [source.url]");
  expect_said(replaced(k2019, "  type: git\n", "  type: storage\n"),
              "error: resource `source` has the type storage, which Kiln does not convert");
  expect_said(replaced(k2019, "resourceRef: {name: shop-git}", "paths: []"),
              "expected exactly one, got neither: resourceRef, resourceSpec");
}

TEST(ConvertCompile, ATaskRunWithResources) {
  const Plan plan = plan_of(R"yaml(
apiVersion: tekton.dev/v1beta1
kind: TaskRun
metadata: {name: r}
spec:
  resources:
    inputs: [{name: src, resourceRef: {name: repo}}]
  taskSpec:
    resources: {inputs: [{name: src, type: git, targetPath: app}]}
    steps: [{image: i, script: "ls $(resources.inputs.src.path)"}]
---
apiVersion: tekton.dev/v1alpha1
kind: PipelineResource
metadata: {name: repo}
spec: {type: git, params: [{name: url, value: u}, {name: depth, value: 0}]}
)yaml");
  EXPECT_EQ(value_of(plan.params, "inputs.src.url"), "u");
  EXPECT_EQ(value_of(plan.params, "inputs.src.depth"), "0");
  ASSERT_EQ(plan.tasks.size(), 1u);
  ASSERT_EQ(plan.tasks[0].spec->steps.size(), 2u);
  EXPECT_EQ(plan.tasks[0].spec->steps[1].script.value, "ls /workspace/app");
}

TEST(ConvertCompile, ATypeThatIsNotConvertedIsAWarningUntilItRuns) {
  const std::string task = R"yaml(
apiVersion: tekton.dev/v1alpha1
kind: Task
metadata: {name: t}
spec:
  inputs: {resources: [{name: bucket, type: storage}]}
  steps: [{image: i, script: ls}]
)yaml";
  Documents documents;
  Diagnostics diagnostics;
  load(documents, "p.yaml", task, diagnostics);
  StoredResolver nothing;
  const Diagnostics found = lint(documents, nothing, diagnostics);
  EXPECT_FALSE(has_errors(found)) << messages(found);
  EXPECT_NE(messages(found).find("type storage"), std::string::npos);
  const Diagnostics refused = unsupported(plan_of(task));
  EXPECT_NE(messages(refused).find("6:45: error: a PipelineResource of type storage cannot be run yet"),
            std::string::npos)
      << messages(refused);
}

TEST(ConvertCompile, LintOfTheWholeOldPipelineHasNoErrors) {
  Documents documents;
  Diagnostics diagnostics;
  load(documents, "p.yaml", k2019, diagnostics);
  StoredResolver nothing;
  const Diagnostics found = lint(documents, nothing, diagnostics);
  EXPECT_FALSE(has_errors(found)) << messages(found);
  EXPECT_TRUE(std::ranges::none_of(found, [](const Diagnostic& d) {
    return d.severity == Severity::Warning;
  })) << messages(found);
}

}  // namespace
}  // namespace kiln::dag
