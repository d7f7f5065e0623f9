// Old documents and the tekton.dev/v1 documents that somebody would write instead, pair by pair.
#include <gtest/gtest.h>

#include "dag/convert_tree.h"
#include "tests/unit/dag/convert_support.h"

namespace kiln::dag {
namespace {

using testing::Converted;
using testing::text_of_tree;

struct Pair {
  const char* name;
  const char* old_version;
  const char* v1;
};

const Pair kPairs[] = {
    {"NothingButTheVersion", R"yaml(
apiVersion: tekton.dev/v1beta1
kind: Task
metadata: {name: t}
spec: {params: [{name: p, default: [a]}], steps: [{image: i, args: ["$(params.p[*])"]}]}
)yaml",
     R"yaml(
apiVersion: tekton.dev/v1
kind: Task
metadata: {name: t}
spec: {params: [{name: p, default: [a]}], steps: [{image: i, args: ["$(params.p[*])"]
}]
}
)yaml"},
    {"ClusterTaskIsATask", R"yaml(
apiVersion: tekton.dev/v1beta1
kind: ClusterTask
metadata: {name: t}
spec: {steps: [{image: i}]}
)yaml",
     R"yaml(
apiVersion: tekton.dev/v1
kind: Task
metadata: {name: t}
spec: {steps: [{image: i}]}
)yaml"},
    {"StepResourcesAreComputeResources", R"yaml(
apiVersion: tekton.dev/v1beta1
kind: Task
metadata: {name: t}
spec:
  stepTemplate: {name: ignored, resources: {requests: {cpu: 1}}}
  steps: [{image: i, resources: {limits: {memory: 1Gi}}}]
  sidecars: [{name: s, image: i, resources: {limits: {cpu: 2}}, ports: [{containerPort: 1}]}]
)yaml",
     R"yaml(
apiVersion: tekton.dev/v1
kind: Task
metadata: {name: t}
spec:
  stepTemplate: {computeResources: {requests: {cpu: 1}}}
  steps: [{image: i, computeResources: {limits: {memory: 1Gi}}}]
  sidecars: [{name: s, image: i, computeResources: {limits: {cpu: 2}}, ports: [{containerPort: 1}]}]
)yaml"},
    {"DeprecatedContainerFieldsOfSteps", R"yaml(
apiVersion: tekton.dev/v1beta1
kind: Task
metadata: {name: t}
spec:
  steps:
  - {image: i, ports: [{containerPort: 80}], livenessProbe: {}, readinessProbe: {exec: {}}, startupProbe: {a: b},
     lifecycle: {preStop: {}}, terminationMessagePath: /x, terminationMessagePolicy: File, stdin: true,
     stdinOnce: true, tty: true}
)yaml",
     R"yaml(
apiVersion: tekton.dev/v1
kind: Task
metadata: {name: t}
spec: {steps: [{image: i}]}
)yaml"},
    {"LegacyParamVariables", R"yaml(
apiVersion: tekton.dev/v1beta1
kind: Task
metadata: {name: t}
spec:
  params: [{name: p}, {name: list, type: array}]
  steps:
  - image: $(inputs.params.p)
    args: ["$(inputs.params.list[*])", "$(params.p)", "$(inputs.params['p'])"]
    script: |
      echo "$(inputs.params.p)" ${inputs.params.p} ${HOME} $(date)
)yaml",
     R"yaml(
apiVersion: tekton.dev/v1
kind: Task
metadata: {name: t}
spec:
  params: [{name: p}, {name: list, type: array}]
  steps:
  - image: $(params.p)
    args: ["$(params.list[*])", "$(params.p)", "$(params['p'])"]
    script: |
      echo "$(params.p)" ${inputs.params.p} ${HOME} $(date)
)yaml"},
    {"PipelineRunTimeoutAccountAndPod", R"yaml(
apiVersion: tekton.dev/v1beta1
kind: PipelineRun
metadata: {generateName: r-}
spec:
  pipelineRef: {name: p}
  timeout: 1h0m0s
  serviceAccountName: builder
  podTemplate: {nodeSelector: {disk: ssd}}
  status: PipelineRunCancelled
)yaml",
     R"yaml(
apiVersion: tekton.dev/v1
kind: PipelineRun
metadata: {generateName: r-}
spec:
  pipelineRef: {name: p}
  timeouts: {pipeline: 1h0m0s}
  taskRunTemplate: {serviceAccountName: builder, podTemplate: {nodeSelector: {disk: ssd}}}
  status: Cancelled
)yaml"},
    {"TaskRunSpecs", R"yaml(
apiVersion: tekton.dev/v1beta1
kind: PipelineRun
metadata: {name: r}
spec:
  pipelineRef: {name: p}
  timeouts: {pipeline: 2h, tasks: 1h}
  taskRunSpecs:
  - pipelineTaskName: a
    taskServiceAccountName: sa
    taskPodTemplate: {hostNetwork: true}
    stepOverrides: [{name: s, resources: {limits: {cpu: 1}}}]
    sidecarOverrides: [{name: x, resources: {limits: {cpu: 2}}}]
)yaml",
     R"yaml(
apiVersion: tekton.dev/v1
kind: PipelineRun
metadata: {name: r}
spec:
  pipelineRef: {name: p}
  timeouts: {pipeline: 2h, tasks: 1h}
  taskRunSpecs:
  - pipelineTaskName: a
    serviceAccountName: sa
    podTemplate: {hostNetwork: true}
    stepSpecs: [{name: s, computeResources: {limits: {cpu: 1}}}]
    sidecarSpecs: [{name: x, computeResources: {limits: {cpu: 2}}}]
)yaml"},
    {"ServiceAccountNames", R"yaml(
apiVersion: tekton.dev/v1beta1
kind: PipelineRun
metadata: {name: r}
spec:
  pipelineRef: {name: p}
  serviceAccountNames:
  - {taskName: a, serviceAccountName: sa}
)yaml",
     R"yaml(
apiVersion: tekton.dev/v1
kind: PipelineRun
metadata: {name: r}
spec:
  pipelineRef: {name: p}
  taskRunSpecs:
  - {pipelineTaskName: a, serviceAccountName: sa}
)yaml"},
    {"PipelineBundle", R"yaml(
apiVersion: tekton.dev/v1beta1
kind: PipelineRun
metadata: {name: r}
spec:
  serviceAccountName: puller
  pipelineRef: {name: p, bundle: registry.example/b:1}
)yaml",
     R"yaml(
apiVersion: tekton.dev/v1
kind: PipelineRun
metadata: {name: r}
spec:
  taskRunTemplate: {serviceAccountName: puller}
  pipelineRef:
    resolver: bundles
    params:
    - {name: bundle, value: "registry.example/b:1"}
    - {name: name, value: p}
    - {name: kind, value: pipeline}
    - {name: serviceAccount, value: puller}
)yaml"},
    {"TaskBundleAndClusterTaskInAPipeline", R"yaml(
apiVersion: tekton.dev/v1beta1
kind: Pipeline
metadata: {name: p}
spec:
  tasks:
  - name: a
    taskRef: {name: t, kind: Task, bundle: b}
  - name: b
    taskRef: {name: c, kind: ClusterTask}
  - name: c
    taskRef: {resolver: git, resource: [{name: url, value: u}]}
  finally:
  - name: z
    taskSpec: {steps: [{image: i, resources: {}}]}
)yaml",
     R"yaml(
apiVersion: tekton.dev/v1
kind: Pipeline
metadata: {name: p}
spec:
  tasks:
  - name: a
    taskRef: {resolver: bundles, params: [{name: bundle, value: b}, {name: name, value: t}, {name: kind, value: task}]}
  - name: b
    taskRef: {name: c}
  - name: c
    taskRef: {resolver: git, params: [{name: url, value: u}]}
  finally:
  - name: z
    taskSpec: {steps: [{image: i, computeResources: {}}]}
)yaml"},
    {"CapitalWhenAndTheFirstMatrix", R"yaml(
apiVersion: tekton.dev/v1beta1
kind: Pipeline
metadata: {name: p}
spec:
  tasks:
  - name: a
    taskRef: {name: t}
    when: [{Input: "$(params.x)", Operator: in, Values: ['y']}]
    matrix: [{name: v, value: [a, b]}]
)yaml",
     R"yaml(
apiVersion: tekton.dev/v1
kind: Pipeline
metadata: {name: p}
spec:
  tasks:
  - name: a
    taskRef: {name: t}
    when: [{input: "$(params.x)", operator: in, values: ['y']}]
    matrix: {params: [{name: v, value: [a, b]}]}
)yaml"},
    {"ACustomTasksSpecIsItsOwn", R"yaml(
apiVersion: tekton.dev/v1beta1
kind: Pipeline
metadata: {name: p}
spec:
  tasks:
  - name: a
    taskSpec: {apiVersion: example.dev/v1, kind: Wait, spec: {resources: {inputs: x}}, resources: {inputs: y}}
)yaml",
     R"yaml(
apiVersion: tekton.dev/v1
kind: Pipeline
metadata: {name: p}
spec:
  tasks:
  - name: a
    taskSpec: {apiVersion: example.dev/v1, kind: Wait, spec: {resources: {inputs: x}}, resources: {inputs: y}}
)yaml"},
    {"TaskRunOverridesAndInlineSpec", R"yaml(
apiVersion: tekton.dev/v1beta1
kind: TaskRun
metadata: {name: r}
spec:
  serviceAccountName: sa
  timeout: 5m
  stepOverrides: [{name: s, resources: {limits: {cpu: 1}}}]
  taskSpec: {steps: [{name: s, image: i, resources: {limits: {cpu: 3}}}]}
)yaml",
     R"yaml(
apiVersion: tekton.dev/v1
kind: TaskRun
metadata: {name: r}
spec:
  serviceAccountName: sa
  timeout: 5m
  stepSpecs: [{name: s, computeResources: {limits: {cpu: 1}}}]
  taskSpec: {steps: [{name: s, image: i, computeResources: {limits: {cpu: 3}}}]}
)yaml"},
    {"StepAction", R"yaml(
apiVersion: tekton.dev/v1alpha1
kind: StepAction
metadata: {name: s}
spec: {image: i, script: "echo ${inputs.params.x}"}
)yaml",
     R"yaml(
apiVersion: tekton.dev/v1
kind: StepAction
metadata: {name: s}
spec: {image: i, script: "echo ${inputs.params.x}"}
)yaml"},
    {"RunIsACustomRun", R"yaml(
apiVersion: tekton.dev/v1alpha1
kind: Run
metadata: {name: r}
spec: {ref: {apiVersion: example.dev/v1, kind: Wait}, params: [{name: d, value: 1s}], retries: 2, podTemplate: {}}
)yaml",
     R"yaml(
apiVersion: tekton.dev/v1beta1
kind: CustomRun
metadata: {name: r}
spec: {customRef: {apiVersion: example.dev/v1, kind: Wait}, params: [{name: d, value: 1s}], retries: 2}
)yaml"},
    {"AlphaTaskInputs", R"yaml(
apiVersion: tekton.dev/v1alpha1
kind: Task
metadata: {name: t}
spec:
  inputs:
    params:
    - {name: flags, type: array}
    - {name: path, default: /workspace}
  outputs: {results: [{name: tests, format: junit, path: /x}]}
  containerTemplate: {env: [{name: A, value: "${inputs.params.path}"}]}
  steps:
  - image: i
    command: ["ls", "${inputs.params.path}", "${HOME}"]
    args: ["$(inputs.params.flags)"]
)yaml",
     R"yaml(
apiVersion: tekton.dev/v1
kind: Task
metadata: {name: t}
spec:
  params:
  - {name: flags, type: array}
  - {name: path, default: /workspace}
  stepTemplate: {env: [{name: A, value: "$(params.path)"}]
}
  steps:
  - image: i
    workingDir: /workspace
    env: [{name: HOME, value: /tekton/home}]
    command: ["ls", "$(params.path)", "${HOME}"]
    args: ["$(params.flags)"]
)yaml"},
    {"AlphaStepsThatSayWhereTheyRun", R"yaml(
apiVersion: tekton.dev/v1alpha1
kind: Task
metadata: {name: t}
spec:
  stepTemplate: {workingDir: /src}
  steps: [{image: i, env: [{name: HOME, value: /root}]}]
)yaml",
     R"yaml(
apiVersion: tekton.dev/v1
kind: Task
metadata: {name: t}
spec:
  stepTemplate: {workingDir: /src}
  steps: [{image: i, env: [{name: HOME, value: /root}]}]
)yaml"},
    {"AlphaTaskRunInputs", R"yaml(
apiVersion: tekton.dev/v1alpha1
kind: TaskRun
metadata: {name: r}
spec:
  taskRef: {name: t, kind: ClusterTask}
  trigger: {type: manual}
  serviceAccount: sa
  nodeSelector: {disk: ssd}
  inputs: {params: [{name: a, value: b}]}
)yaml",
     R"yaml(
apiVersion: tekton.dev/v1
kind: TaskRun
metadata: {name: r}
spec:
  taskRef: {name: t}
  serviceAccountName: sa
  podTemplate: {nodeSelector: {disk: ssd}}
  params: [{name: a, value: b}]
)yaml"},
    {"AlphaPipelineBraces", R"yaml(
apiVersion: tekton.dev/v1alpha1
kind: Pipeline
metadata: {name: p}
spec:
  params: [{name: x}]
  tasks:
  - name: a
    taskRef: {name: t}
    params: [{name: 'y', value: "${params.x}/${HOME}"}]
)yaml",
     R"yaml(
apiVersion: tekton.dev/v1
kind: Pipeline
metadata: {name: p}
spec:
  params: [{name: x}]
  tasks:
  - name: a
    taskRef: {name: t}
    params: [{name: 'y', value: "$(params.x)/${HOME}"}]
)yaml"},
    {"PipelinesInPipelines", R"yaml(
apiVersion: tekton.dev/v1beta1
kind: Pipeline
metadata: {name: p}
spec:
  tasks:
  - name: a
    pipelineSpec: {tasks: [{name: b, taskRef: {name: t, kind: ClusterTask}}]}
  - name: c
    pipelineRef: {name: q, bundle: b}
)yaml",
     R"yaml(
apiVersion: tekton.dev/v1
kind: Pipeline
metadata: {name: p}
spec:
  tasks:
  - name: a
    pipelineSpec: {tasks: [{name: b, taskRef: {name: t}}]}
  - name: c
    pipelineRef: {resolver: bundles, params: [{name: bundle, value: b}, {name: name, value: q}, {name: kind, value: pipeline}]}
)yaml"},
};

class ConvertPairs : public ::testing::TestWithParam<Pair> {};

TEST_P(ConvertPairs, BecomeWhatOneWouldWriteByHand) {
  const Converted converted(GetParam().old_version);
  const Converted by_hand(GetParam().v1);
  EXPECT_EQ(converted.tree(), by_hand.tree());
  EXPECT_EQ(by_hand.node, by_hand.given) << "v1 is left as it is";
  EXPECT_FALSE(has_errors(converted.diagnostics)) << converted.said();
}

INSTANTIATE_TEST_SUITE_P(Versions, ConvertPairs, ::testing::ValuesIn(kPairs),
                         [](const auto& pair) { return std::string(pair.param.name); });

// What is wrong in shape is left for the decoders, which say so; nothing here may fall over it.
TEST(Convert, SurvivesEveryFieldHavingTheWrongShape) {
  for (const Pair& pair : kPairs) {
    for (const char* wrong : {"null", "x", "[]", "[x, [y]]", "{a: b}", "{name: [], items: {}}"}) {
      Converted original(pair.old_version);
      const Node* spec = get(*original.given, "spec");
      for (size_t i = 0; i < spec->entries.size(); ++i) {
        Diagnostics diagnostics;
        YamlFile other = parse_yaml("w.yaml", wrong, diagnostics);
        const Node null;
        const Node* value = other.documents.empty() ? &null : other.documents[0];
        Node broken_spec = *spec;
        broken_spec.entries[i].value = value;
        Node broken = *original.given;
        find_entry(broken, "spec")->value = &broken_spec;
        DecodeContext context{"w.yaml", diagnostics};
        (void)text_of_tree(convert(other, broken, context));
      }
    }
  }
}

}  // namespace
}  // namespace kiln::dag
