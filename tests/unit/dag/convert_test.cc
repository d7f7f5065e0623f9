// What conversion says, what it leaves alone, and where new nodes stand.
#include "dag/convert.h"

#include <gtest/gtest.h>

#include "dag/convert_tree.h"
#include "tests/unit/dag/convert_support.h"

namespace kiln::dag {
namespace {

using testing::Converted;

TEST(Convert, LeavesOtherObjectsAlone) {
  for (const char* text : {"{apiVersion: v1, kind: Secret, metadata: {name: s}}",
                           "{apiVersion: tekton.dev/v1beta1, kind: CustomRun, spec: {retries: 1}}",
                           "{apiVersion: tekton.dev/v1beta1, kind: TaskList, items: []}", "[1, 2]",
                           "just text", "{apiVersion: [tekton.dev/v1beta1], kind: {}}"}) {
    const Converted converted(text);
    EXPECT_EQ(converted.node, converted.given) << text;
  }
}

TEST(Convert, NewNodesStandWhereTheyCameFrom) {
  const Converted run(
      "apiVersion: tekton.dev/v1beta1\n"
      "kind: PipelineRun\n"
      "metadata: {name: r}\n"
      "spec:\n"
      "  pipelineRef: {name: p}\n"
      "  timeout: 5x\n");
  const Node* timeouts = get(*get(*run.node, "spec"), "timeouts");
  ASSERT_NE(timeouts, nullptr);
  EXPECT_EQ(get(*timeouts, "pipeline")->at, (Position{6, 12}));
}

TEST(Convert, SaysWhatIsLost) {
  const Converted task(R"yaml({apiVersion: tekton.dev/v1beta1, kind: Task, metadata: {name: t},
    spec: {steps: [{image: i, tty: true, ports: []}]}})yaml");
  EXPECT_NE(task.said().find("note: `ports`, `tty`: left out, a step has no such field in tekton.dev/v1"),
            std::string::npos)
      << task.said();
}

TEST(Convert, RefusesConditionsBecauseATaskWouldRunThatShouldNot) {
  const Converted pipeline(R"yaml(
apiVersion: tekton.dev/v1alpha1
kind: Pipeline
metadata: {name: p}
spec: {tasks: [{name: a, taskRef: {name: t}, conditions: [{conditionRef: c}]}]}
)yaml");
  EXPECT_NE(pipeline.said().find("old.yaml:5:46: error: Conditions were removed from Tekton"),
            std::string::npos)
      << pipeline.said();
  EXPECT_NE(pipeline.said().find("`when`"), std::string::npos);
}

TEST(Convert, RefusesBothTimeouts) {
  const Converted run(R"yaml({apiVersion: tekton.dev/v1beta1, kind: PipelineRun, metadata: {name: r},
    spec: {pipelineRef: {name: p}, timeout: 1h, timeouts: {pipeline: 2h}}})yaml");
  EXPECT_NE(run.said().find("expected exactly one, got both: timeout, timeouts"), std::string::npos)
      << run.said();
}

TEST(Convert, ConvertsASharedSpecOnce) {
  const Converted pipeline(R"yaml(
apiVersion: tekton.dev/v1beta1
kind: Pipeline
metadata: {name: p}
spec:
  tasks:
  - {name: a, taskSpec: &spec {steps: [{image: "$(inputs.params.x)", tty: true}]
}
}
  - {name: b, taskSpec: *spec}
)yaml");
  const Node& tasks = *get(*get(*pipeline.node, "spec"), "tasks");
  EXPECT_EQ(get(*tasks.items[0], "taskSpec"), get(*tasks.items[1], "taskSpec"));
  EXPECT_EQ(pipeline.diagnostics.size(), 1u) << pipeline.said();
}

}  // namespace
}  // namespace kiln::dag
