// PipelineResources: what Pipelines and runs that use them become.
#include <gtest/gtest.h>

#include "tests/unit/dag/convert_support.h"

namespace kiln::dag {
namespace {

using testing::Converted;
using testing::git_params;
using testing::git_values;

TEST(ConvertPipelineResources, PipelineResourcesBecomeParamsAndFromBecomesOrderAndAFolder) {
  const Converted old(R"yaml(
apiVersion: tekton.dev/v1alpha1
kind: Pipeline
metadata: {name: p}
spec:
  resources: [{name: repo, type: git}, {name: img, type: image, optional: true}]
  tasks:
  - name: b
    taskRef: {name: t}
    runAfter: [x]
    resources: {inputs: [{name: src, resource: repo, from: [a]}, {name: i, resource: img, from: [a]}]}
  - name: a
    taskRef: {name: t}
    resources:
      inputs: [{name: src, resource: repo}]
      outputs: [{name: out, resource: repo}, {name: o, resource: img}]
  - {name: x, taskRef: {name: t}}
)yaml");
  const Converted by_hand(R"yaml(
apiVersion: tekton.dev/v1
kind: Pipeline
metadata: {name: p}
spec:
  params:
)yaml" + git_params("repo") +
                          R"yaml(
  - {name: img.url, default: ''}
  - {name: img.digest, default: ''}
  workspaces: [{name: resource-repo}]
  tasks:
  - name: b
    taskRef: {name: t}
    runAfter: [x, a]
    params:
)yaml" + git_values("inputs.src", "repo") +
                          R"yaml(
    - {name: inputs.i.url, value: '$(params["img.url"])'}
    - {name: inputs.i.digest, value: '$(params["img.digest"])'}
    workspaces: [{name: resource-input-src, workspace: resource-repo, subPath: a}]
  - name: a
    taskRef: {name: t}
    params:
)yaml" + git_values("inputs.src", "repo") +
                          git_values("outputs.out", "repo") + R"yaml(
    - {name: outputs.o.url, value: '$(params["img.url"])'}
    - {name: outputs.o.digest, value: '$(params["img.digest"])'}
    workspaces: [{name: resource-output-out, workspace: resource-repo, subPath: a}]
  - {name: x, taskRef: {name: t}}
)yaml");
  EXPECT_EQ(old.tree(), by_hand.tree());
  EXPECT_FALSE(has_errors(old.diagnostics)) << old.said();
}

TEST(ConvertPipelineResources, RunsKeepTheirBindingsForLater) {
  const Converted pipeline_run(R"yaml(
apiVersion: tekton.dev/v1alpha1
kind: PipelineRun
metadata: {name: r}
spec: {pipelineRef: {name: p}, resources: [{name: repo, resourceRef: {name: x}}]}
)yaml");
  const Converted pipeline_run_by_hand(R"yaml(
apiVersion: tekton.dev/v1
kind: PipelineRun
metadata: {name: r}
spec: {pipelineRef: {name: p}, pipelineResources: [{name: repo, resourceRef: {name: x}}]}
)yaml");
  EXPECT_EQ(pipeline_run.tree(), pipeline_run_by_hand.tree());
  const std::string by_hand = Converted(R"yaml(
apiVersion: tekton.dev/v1
kind: TaskRun
metadata: {name: r}
spec:
  taskRef: {name: t}
  pipelineResources:
  - {name: inputs.src, resourceRef: {name: x}}
  - {name: outputs.o, resourceSpec: {type: image, params: [{name: url, value: u}]}}
)yaml")
                                  .tree();
  EXPECT_EQ(Converted(R"yaml(
apiVersion: tekton.dev/v1beta1
kind: TaskRun
metadata: {name: r}
spec:
  taskRef: {name: t}
  resources:
    inputs: [{name: src, resourceRef: {name: x}}]
    outputs: [{name: o, resourceSpec: {type: image, params: [{name: url, value: u}]}}]
)yaml")
                .tree(),
            by_hand);
  EXPECT_EQ(Converted(R"yaml(
apiVersion: tekton.dev/v1alpha1
kind: TaskRun
metadata: {name: r}
spec:
  taskRef: {name: t}
  inputs: {resources: [{name: src, resourceRef: {name: x}, paths: [/p]}]}
  outputs: {resources: [{name: o, resourceSpec: {type: image, params: [{name: url, value: u}]}}]}
)yaml")
                .tree(),
            by_hand);
}

TEST(ConvertPipelineResources, MistakesHavePlaceAndHint) {
  const Converted pipeline(R"yaml(
apiVersion: tekton.dev/v1alpha1
kind: Pipeline
metadata: {name: p}
spec:
  resources: [{name: source-repo, type: git}, {name: other, type: gitt}, {name: other}, {type: git}]
  tasks:
  - name: a
    taskRef: {name: t}
    resources: {inputs: [{name: src, resource: source-rep}, {name: s, resource: source-repo, from: [b]}, {name: z}]}
)yaml");
  for (const char* expected : {"6:67: error: unknown resource type \"gitt\"", "did you mean `git`?",
                               "resource `other` is declared twice", "a resource needs a `name`",
                               "10:48: error: the pipeline declares no resource `source-rep`",
                               "did you mean `source-repo`?", "task `b` has no output resource `source-repo`",
                               "a resource of a pipeline task needs a `name` and a `resource`"})
    EXPECT_NE(pipeline.said().find(expected), std::string::npos) << expected << "\n" << pipeline.said();
}

}  // namespace
}  // namespace kiln::dag
