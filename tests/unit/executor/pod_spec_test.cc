#include "executor/pod_spec.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/unit/executor/support.h"

namespace kiln::executor {
namespace {

using namespace std::chrono_literals;
using testing::plan_of;

PodRequest pod_of(const std::string& spec) {
  const dag::Plan plan = plan_of("  tasks:\n  - name: t\n    taskSpec:\n" + spec);
  const dag::ResolvedTask task = dag::resolve_task(plan, 0, dag::no_facts(), {"r", "u", "default"}, {.attempt = 1});
  return make_pod(plan, 0, task, "r", {.attempt = 1}, {"/runs/r", "/runs/r/workspaces", "/claims"});
}

TEST(PodSpec, CarriesEveryFieldOfAStep) {
  const PodRequest pod = pod_of(
      "      results: [{name: out}]\n      volumes: [{name: v}, {name: c, persistentVolumeClaim: {claimName: "
      "cl}}]\n"
      "      steps:\n      - image: im\n        command: [c]\n        args: [a, b]\n        workingDir: /w\n "
      "       timeout: 5s\n        onError: continue\n"
      "        imagePullPolicy: Always\n        env: [{name: K, value: V}]\n        securityContext: "
      "{runAsUser: 7, runAsGroup: 8, readOnlyRootFilesystem: true}\n"
      "        computeResources: {limits: {cpu: 500m, memory: 64Mi}}\n"
      "        volumeMounts: [{name: v, mountPath: /v, subPath: x}, {name: c, mountPath: /c, readOnly: "
      "true}]\n");
  EXPECT_EQ(pod.spec.name, "r-t-retry1");
  EXPECT_EQ(pod.spec.folder, "/runs/r/pods/t.1");
  EXPECT_EQ(pod.spec.results, std::vector<std::string>{"out"});
  const steps::StepSpec& step = pod.spec.steps.at(0);
  EXPECT_EQ(step.name, "unnamed-0");
  EXPECT_EQ(step.image, "im");
  EXPECT_EQ(step.pull_policy, registry::PullPolicy::Always);
  EXPECT_EQ(step.args, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(step.timeout, 5s);
  EXPECT_TRUE(step.continue_on_error && step.read_only_root);
  EXPECT_EQ(step.run_as_user, 7u);
  EXPECT_EQ(step.run_as_group, 8u);
  EXPECT_DOUBLE_EQ(step.resources.cpus, 0.5);
  EXPECT_EQ(step.resources.memory_bytes, 64u << 20);
  EXPECT_EQ(step.mounts.at(0).source, "/runs/r/pods/t.1/volumes/v/x");
  EXPECT_EQ(step.mounts.at(1).source, "/claims/cl");
  EXPECT_TRUE(step.mounts.at(1).read_only);
}

TEST(PodSpec, RefusesASubPathThatClimbsOut) {
  EXPECT_THROW(pod_of("      volumes: [{name: v}]\n      steps: [{image: i, volumeMounts: [{name: v, "
                      "mountPath: /v, subPath: a/../../b}]}]\n"),
               Error);
  EXPECT_THROW(pod_of("      volumes: [{name: v}]\n      steps: [{image: i, volumeMounts: [{name: v, "
                      "mountPath: /v, subPath: /etc}]}]\n"),
               Error);
  EXPECT_NO_THROW(
      pod_of("      volumes: [{name: v}]\n      steps: [{image: i, volumeMounts: [{name: v, mountPath: /v, "
             "subPath: a/../b}]}]\n"));
}

TEST(PodSpec, RefusesAMalformedQuantity) {
  EXPECT_THROW(pod_of("      params: [{name: m, default: lots}]\n"
                      "      steps: [{image: i, computeResources: {limits: {memory: $(params.m)}}}]\n"), Error);
}

TEST(PodSpec, ReadsQuantities) {
  EXPECT_DOUBLE_EQ(*parse_quantity("1.5"), 1.5);
  EXPECT_DOUBLE_EQ(*parse_quantity("250m"), 0.25);
  EXPECT_DOUBLE_EQ(*parse_quantity("1Gi"), 1073741824.0);
  EXPECT_DOUBLE_EQ(*parse_quantity("2k"), 2000.0);
  for (const char* bad : {"", "x", "1X", "-1", "1 Gi", "nan", "inf"})
    EXPECT_FALSE(parse_quantity(bad)) << bad;
}

}  // namespace
}  // namespace kiln::executor
