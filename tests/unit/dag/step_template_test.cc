#include <gtest/gtest.h>

#include "dag/resolve.h"
#include "tests/unit/dag/support.h"

namespace kiln::dag {
namespace {

using testing::pipeline;
using testing::plan_of;

const RunContext kContext{"p-run-1", "uid-1", "default"};

// One step of a task with this template, as it runs.
Step merged(const std::string& step_template, const std::string& step) {
  const Plan plan = plan_of(
      pipeline("  tasks:\n  - name: t\n    taskSpec:\n      volumes: [{name: v}]\n      stepTemplate: " +
               step_template + "\n      steps: [" + step + "]\n"));
  return resolve_task(plan, 0, no_facts(), kContext).spec.steps.at(0);
}

std::vector<std::string> words_of(const std::vector<Text>& list) {
  return {list.begin(), list.end()};
}

TEST(StepTemplate, CapabilitiesAreMergedFieldByField) {
  const SecurityContext security =
      merged("{image: i, securityContext: {capabilities: {drop: [ALL], add: [CHOWN]}}}",
             "{securityContext: {capabilities: {add: [NET_BIND_SERVICE]}}}")
          .security;
  EXPECT_EQ(words_of(security.drop_capabilities), std::vector<std::string>{"ALL"});
  EXPECT_EQ(words_of(security.add_capabilities), std::vector<std::string>{"NET_BIND_SERVICE"});
}

TEST(StepTemplate, AMountOfTheSamePathKeepsWhatTheStepDoesNotSay) {
  const Step step =
      merged("{image: i, volumeMounts: [{name: v, mountPath: /e, subPath: x}, {name: v, mountPath: /t}]}",
             "{volumeMounts: [{name: v, mountPath: /e, readOnly: true}, {name: v, mountPath: /all}]}");
  ASSERT_EQ(step.volume_mounts.size(), 3u);
  EXPECT_EQ(step.volume_mounts[0].mount_path.value, "/e");
  EXPECT_EQ(step.volume_mounts[0].sub_path.value, "x");
  EXPECT_TRUE(step.volume_mounts[0].read_only);
  EXPECT_EQ(step.volume_mounts[1].mount_path.value, "/all");
  EXPECT_EQ(step.volume_mounts[2].mount_path.value, "/t");
}

TEST(StepTemplate, ArgsArePassedToAScript) {
  EXPECT_EQ(words_of(merged("{image: i, args: [t1, t2]}", "{script: run}").args),
            (std::vector<std::string>{"t1", "t2"}));
  EXPECT_EQ(words_of(merged("{image: i, args: [t1, t2]}", "{script: run, args: [own]}").args),
            std::vector<std::string>{"own"});
}

TEST(StepTemplate, VariablesStandInTheOrderOfAStrategicMerge) {
  const Step step = merged("{image: i, env: [{name: KEEP, value: a}, {name: SOME, value: b}, {name: LAST}]}",
                           "{env: [{name: NEW, value: new}, {name: SOME, value: $(KEEP)-z}]}");
  std::vector<std::string> names;
  for (const EnvVar& variable : step.env) names.push_back(variable.name);
  EXPECT_EQ(names, (std::vector<std::string>{"NEW", "KEEP", "SOME", "LAST"}));
  EXPECT_EQ(step.env[2].value.value, "$(KEEP)-z");
}

TEST(StepTemplate, IsPutUnderWhatAStepActionSays) {
  const Plan plan = plan_of(
      "apiVersion: tekton.dev/v1\nkind: StepAction\nmetadata: {name: act}\nspec: {image: own, env: [{name: "
      "SOME, "
      "value: act}], script: run}\n---\n" +
      pipeline(
          "  tasks:\n  - name: t\n    taskSpec:\n      stepTemplate: {image: i, command: [other], args: [a], "
          "env: [{name: KEEP, value: t}, {name: SOME, value: t}]}\n      steps: [{ref: {name: act}}]\n"));
  const Step step = resolve_task(plan, 0, no_facts(), kContext).spec.steps.at(0);
  EXPECT_EQ(step.image.value, "own");
  EXPECT_TRUE(step.command.empty());
  EXPECT_EQ(words_of(step.args), std::vector<std::string>{"a"});
  ASSERT_EQ(step.env.size(), 2u);
  EXPECT_EQ(step.env[0].name.value, "KEEP");
  EXPECT_EQ(step.env[1].value.value, "act");
}

}  // namespace
}  // namespace kiln::dag
