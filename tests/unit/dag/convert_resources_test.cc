// PipelineResources: what Tasks, Pipelines and runs that use them become.
#include <gtest/gtest.h>

#include "dag/convert_tree.h"
#include "tests/unit/dag/convert_support.h"

namespace kiln::dag {
namespace {

using testing::Converted;

const std::string kCloneArgs = R"yaml(
    - git-clone
    - --url=$(params["inputs.src.url"])
    - --revision=$(params["inputs.src.revision"])
    - --refspec=$(params["inputs.src.refspec"])
    - --submodules=$(params["inputs.src.submodules"])
    - --ssl-verify=$(params["inputs.src.sslVerify"])
    - --http-proxy=$(params["inputs.src.httpProxy"])
    - --https-proxy=$(params["inputs.src.httpsProxy"])
    - --no-proxy=$(params["inputs.src.noProxy"])
    - --from=$(workspaces.resource-input-src.path)
)yaml";

std::string git_params(const std::string& prefix) {
  std::string out = "  - {name: " + prefix + ".url}\n";
  for (const char* field : {"revision: ''", "refspec: ''", "submodules: 'true'", "depth: '1'",
                            "sslVerify: 'true'", "httpProxy: ''", "httpsProxy: ''", "noProxy: ''"}) {
    const std::string text = field;
    const size_t colon = text.find(':');
    out += "  - {name: " + prefix + "." + text.substr(0, colon) + ", default" + text.substr(colon) + "}\n";
  }
  return out;
}

std::string git_values(const std::string& task_side, const std::string& pipeline_side) {
  std::string out;
  for (const char* field : {"url", "revision", "refspec", "submodules", "depth", "sslVerify", "httpProxy",
                            "httpsProxy", "noProxy"})
    out += "    - {name: " + task_side + "." + field + ", value: '$(params[\"" + pipeline_side + "." + field +
           "\"])'}\n";
  return out;
}

TEST(ConvertResources, GitInputBecomesParamsAndAStepThatFetches) {
  const Converted beta(R"yaml(
apiVersion: tekton.dev/v1beta1
kind: Task
metadata: {name: t}
spec:
  resources: {inputs: [{name: src, type: git}]}
  params: [{name: a}]
  steps: [{image: "$(resources.inputs.src.revision)", workingDir: "$(resources.inputs.src.path)"}]
)yaml");
  const Converted alpha(R"yaml(
apiVersion: tekton.dev/v1alpha1
kind: Task
metadata: {name: t}
spec:
  inputs: {resources: [{name: src, type: git}], params: [{name: a}]}
  steps: [{image: "${inputs.resources.src.revision}", workingDir: "$(inputs.resources.src.path)"
}]
)yaml");
  const Converted by_hand(R"yaml(
apiVersion: tekton.dev/v1
kind: Task
metadata: {name: t}
spec:
  params:
  - {name: a}
)yaml" + git_params("inputs.src") +
                          R"yaml(
  workspaces:
  - {name: resource-input-src, optional: true, readOnly: true, mountPath: /resources/src}
  steps:
  - name: git-source-src
    image: kiln
    args: )yaml" + kCloneArgs +
                          R"yaml(
    - /workspace/src
  - {image: '$(params["inputs.src.revision"])', workingDir: /workspace/src}
)yaml");
  EXPECT_EQ(beta.tree(), by_hand.tree());
  EXPECT_EQ(alpha.tree(), by_hand.tree());
}

TEST(ConvertResources, EverySpellingOfAVariable) {
  const Converted task(R"yaml(
apiVersion: tekton.dev/v1alpha1
kind: Task
metadata: {name: t}
spec:
  inputs: {resources: [{name: a, type: git, targetPath: go/src/x}, {name: i, type: image}]}
  outputs: {resources: [{name: b, type: image}, {name: c, type: image, targetPath: /workspace/there}]}
  steps:
  - image: x
    args:
    - $(inputs.resources.a.url) $(resources.inputs.a.path) ${inputs.resources.i.digest}
    - $(outputs.resources.b.url) $(resources.outputs.b.path) ${outputs.resources.c.path}
    - $(inputs.resources.a.type) $(inputs.resources.a.name) $(inputs.resources.a.sslverify)
    - $(inputs.resources.none.url) $(inputs.resources.a.none) ${other} $HOME $(
)yaml");
  const Node& args = *get(*get(*get(*task.node, "spec"), "steps")->items[1], "args");
  EXPECT_EQ(args.items[0]->scalar,
            R"yaml($(params["inputs.a.url"]) /workspace/go/src/x $(params["inputs.i.digest"]))yaml");
  EXPECT_EQ(args.items[1]->scalar,
            R"yaml($(params["outputs.b.url"]) /workspace/output/b /workspace/there)yaml");
  EXPECT_EQ(args.items[2]->scalar, R"yaml(git a $(params["inputs.a.sslVerify"]))yaml");
  EXPECT_EQ(args.items[3]->scalar,
            "$(inputs.resources.none.url) $(inputs.resources.a.none) ${other} $HOME $(");
  EXPECT_NE(task.said().find("non-existent variable in \"$(inputs.resources.none.url)\""), std::string::npos);
  EXPECT_NE(task.said().find("a resource of type git has no such field"), std::string::npos);
}

TEST(ConvertResources, AnImageOutputAskedForAsAnInputIsTheOutput) {
  const Converted task(R"yaml(
apiVersion: tekton.dev/v1alpha1
kind: Task
metadata: {name: t}
spec:
  outputs: {resources: [{name: b, type: image}]}
  steps: [{image: x, args: ["$(inputs.resources.b.path)"]}]
)yaml");
  const Node& args = *get(*get(*get(*task.node, "spec"), "steps")->items[0], "args");
  EXPECT_EQ(args.items[0]->scalar, "/workspace/output/b");
  EXPECT_NE(task.said().find("warning: `b` is an output"), std::string::npos) << task.said();
}

TEST(ConvertResources, ImageOutputBecomesParamsAndItsFolder) {
  const Converted old(R"yaml(
apiVersion: tekton.dev/v1beta1
kind: Task
metadata: {name: t}
spec:
  resources: {outputs: [{name: img, type: image}]}
  stepTemplate: {env: [{name: A, value: b}]}
  steps: [{image: x, args: ["$(resources.outputs.img.url)"]}]
)yaml");
  const Converted by_hand(R"yaml(
apiVersion: tekton.dev/v1
kind: Task
metadata: {name: t}
spec:
  params: [{name: outputs.img.url}, {name: outputs.img.digest, default: ''}]
  volumes: [{name: resource-output-img, emptyDir: {}}]
  stepTemplate:
    env: [{name: A, value: b}]
    volumeMounts: [{name: resource-output-img, mountPath: /workspace/output/img}]
  steps: [{image: x, args: ['$(params["outputs.img.url"])']}]
)yaml");
  EXPECT_EQ(old.tree(), by_hand.tree());
  EXPECT_NE(old.said().find("index.json is not read"), std::string::npos);
}

TEST(ConvertResources, GitOutputBecomesAWorkspaceWhereTheStepsWrite) {
  const Converted old(R"yaml(
apiVersion: tekton.dev/v1beta1
kind: Task
metadata: {name: t}
spec:
  resources: {outputs: [{name: out, type: git}]}
  steps: [{image: x, args: ["$(outputs.resources.out.path)"]}]
)yaml");
  const Converted by_hand(R"yaml(
apiVersion: tekton.dev/v1
kind: Task
metadata: {name: t}
spec:
  params:
)yaml" + git_params("outputs.out") +
                          R"yaml(
  workspaces: [{name: resource-output-out, mountPath: /workspace/output/out}]
  steps: [{image: x, args: [/workspace/output/out]}]
)yaml");
  EXPECT_EQ(old.tree(), by_hand.tree());
}

TEST(ConvertResources, AnOutputTakesTheTypeOfTheInputOfItsName) {
  const Converted task(R"yaml(
apiVersion: tekton.dev/v1alpha1
kind: Task
metadata: {name: t}
spec:
  inputs: {resources: [{name: w, type: git}]}
  outputs: {resources: [{name: w}]}
  steps: [{image: x}]
)yaml");
  EXPECT_FALSE(has_errors(task.diagnostics)) << task.said();
  EXPECT_NE(task.tree().find("'resource-output-w'"), std::string::npos);
}

TEST(ConvertResources, OptionalOnesNeedNoUrl) {
  const Converted task(R"yaml(
apiVersion: tekton.dev/v1alpha1
kind: Task
metadata: {name: t}
spec:
  inputs: {resources: [{name: src, type: git, optional: true}]}
  steps: [{image: x}]
)yaml");
  const Node& spec = *get(*task.node, "spec");
  EXPECT_EQ(get(*get(spec, "params")->items[0], "default")->scalar, "");
  const Node& args = *get(*get(spec, "steps")->items[0], "args");
  EXPECT_EQ(args.items[args.items.size() - 2]->scalar, "--optional");
}

TEST(ConvertResources, TheFirstStepsNameIsALabelAndNobodyElses) {
  const Converted task(R"yaml(
apiVersion: tekton.dev/v1alpha1
kind: Task
metadata: {name: t}
spec:
  inputs: {resources: [{name: Source_Repo, type: git}, {name: b, type: git}]}
  steps: [{name: git-source-b, image: x}]
)yaml");
  const Node& steps = *get(*get(*task.node, "spec"), "steps");
  ASSERT_EQ(steps.items.size(), 3u);
  EXPECT_EQ(get_text(*steps.items[0], "name"), "git-source-source-repo");
  EXPECT_EQ(get_text(*steps.items[1], "name"), "git-source-b-2");
}

TEST(ConvertResources, PipelineResourcesBecomeParamsAndFromBecomesOrderAndAFolder) {
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

TEST(ConvertResources, RunsKeepTheirBindingsForLater) {
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

TEST(ConvertResources, TypesThatAreNotConvertedAreKeptAndNamed) {
  const Converted task(R"yaml(
apiVersion: tekton.dev/v1alpha1
kind: Task
metadata: {name: t}
spec:
  inputs: {resources: [{name: bucket, type: storage}, {name: i, type: image}]}
  steps: [{image: x, args: ["$(inputs.resources.bucket.location)"]}]
)yaml");
  EXPECT_FALSE(has_errors(task.diagnostics));
  EXPECT_NE(task.said().find("warning: resource `bucket` has the type storage"), std::string::npos)
      << task.said();
  const Node* kept = get(*get(*get(*task.node, "spec"), "resources"), "inputs");
  ASSERT_NE(kept, nullptr);
  EXPECT_EQ(kept->items.size(), 1u);
}

TEST(ConvertResources, MistakesHavePlaceAndHint) {
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
