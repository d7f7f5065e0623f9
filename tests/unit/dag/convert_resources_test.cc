// PipelineResources: what Tasks that use them become.
#include <gtest/gtest.h>

#include "dag/convert_tree.h"
#include "tests/unit/dag/convert_support.h"

namespace kiln::dag {
namespace {

using testing::Converted;
using testing::git_params;

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

TEST(ConvertResources, GitInputBecomesParamsAndAStepThatFetches) {
  const Converted beta(R"yaml(
apiVersion: tekton.dev/v1beta1
kind: Task
metadata: {name: t}
spec:
  resources: {inputs: [{name: src, type: git}]}
  params: [{name: a}]
  steps: [{image: "$(resources.inputs.src.revision)", workingDir: "$(resources.inputs.src.path)", env: [{name: HOME, value: /tekton/home}]}]
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
    command: [kiln]
    workingDir: /workspace
    args: )yaml" + kCloneArgs +
                          R"yaml(
    - /workspace/src
  - {image: '$(params["inputs.src.revision"])', workingDir: /workspace/src, env: [{name: HOME, value: /tekton/home}]}
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
  const Node& steps = *get(*get(*task.node, "spec"), "steps");
  ASSERT_EQ(steps.items.size(), 2u);
  const Node& args = *get(*steps.items[1], "args");
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
  steps: [{image: x, workingDir: /workspace, args: ['$(params["outputs.img.url"])']}]
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
  steps: [{image: x, workingDir: /workspace, args: [/workspace/output/out]}]
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

TEST(ConvertResources, NothingIsMountedInAFolderThatHasToBeEmptyFirst) {
  const Converted task(R"yaml(
apiVersion: tekton.dev/v1alpha1
kind: Task
metadata: {name: t}
spec:
  inputs: {resources: [{name: w, type: git}]}
  outputs: {resources: [{name: i, type: image, targetPath: w/out}, {name: g, type: git, targetPath: /workspace/w/g}]}
  steps: [{image: x}]
)yaml");
  EXPECT_EQ(task.tree().find("volumeMounts"), std::string::npos);
  EXPECT_NE(task.said().find("error: the output folder /workspace/w/g lies in the checkout of an input"),
            std::string::npos)
      << task.said();
}

TEST(ConvertResources, ASmallFileDoesNotBecomeAHugeOne) {
  std::string text =
      "apiVersion: tekton.dev/v1beta1\nkind: Task\nmetadata: {name: t}\nspec:\n  resources:\n    inputs:\n";
  for (int i = 0; i < 257; ++i) text += "    - {name: r" + std::to_string(i) + ", type: git}\n";
  const Converted task(text + "  steps: [{image: x}]\n");
  EXPECT_NE(task.said().find("error: 257 resources in one list"), std::string::npos) << task.said();
  EXPECT_EQ(task.tree().find("params"), std::string::npos);
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
  const Node* kept = get(*get(*task.node, "spec"), "pipelineResources");
  ASSERT_NE(kept, nullptr);
  EXPECT_EQ(kept->items.size(), 1u);
}

}  // namespace
}  // namespace kiln::dag
