#include "executor/pod_spec.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/text.h"
#include "dag/quantity.h"
#include "tests/unit/executor/support.h"

namespace kiln::executor {
namespace {

using namespace std::chrono_literals;
using testing::plan_of;

PodRequest pod_of(const std::string& spec) {
  const dag::Plan plan = plan_of("  tasks:\n  - name: t\n    taskSpec:\n" + spec);
  const dag::ResolvedTask task =
      dag::resolve_task(plan, 0, dag::no_facts(), {"r", "u", "default"}, {.attempt = 1});
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

TEST(PodSpec, ASubPathMayBeMadeOfTheContainersVariables) {
  const auto source = [](const std::string& expression) {
    return pod_of(
               "      volumes: [{name: v}]\n      steps: [{image: i, env: [{name: A, value: one}, {name: B, "
               "value: "
               "$(A)/two}], volumeMounts: [{name: v, mountPath: /v, subPathExpr: '" +
               expression + "'}]}]\n")
        .spec.steps.at(0)
        .mounts.at(0)
        .source.string();
  };
  EXPECT_EQ(source("$(B)-x"), "/runs/r/pods/t.1/volumes/v/one/two-x");
  EXPECT_EQ(source("$$(B)"), "/runs/r/pods/t.1/volumes/v/$(B)");
  EXPECT_THROW(source("$(MISSING)"), Error);
  EXPECT_THROW(source("../$(A)"), Error);
}

constexpr const char* kObjects =
    "apiVersion: v1\nkind: Secret\nmetadata: {name: s, annotations: {tekton.dev/git-0: x.example}}\n"
    "type: kubernetes.io/ssh-auth\nstringData: {ssh-privatekey: K}\n---\n"
    "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: bot}\nsecrets: [{name: s}]\n---\n"
    "apiVersion: tekton.dev/v1\nkind: TaskRun\nmetadata: {name: r, labels: {team: blue}}\nspec:\n";

// A lone TaskRun's pod; `places` beyond the usual ones.
PodRequest pod_of_run(const std::string& spec, PodPlaces places = {}, const std::string& annotation = "") {
  dag::Documents documents;
  Diagnostics diagnostics;
  load(documents, "p.yaml",
       replace_all(kObjects, "team: blue}", "team: blue}, annotations: {" + annotation + "}") + spec,
       diagnostics);
  dag::StoredResolver resolver;
  const dag::Compiled compiled = compile(documents, {}, resolver, std::move(diagnostics));
  if (!compiled.plan) throw Error(ErrorKind::Usage, dag::render(compiled.diagnostics, documents.sources));
  places.run = "/runs/r";
  places.workspaces = "/runs/r/workspaces";
  places.claims = "/claims";
  places.secrets = "/private";
  const dag::ResolvedTask task = dag::resolve_task(*compiled.plan, 0, dag::no_facts(), {"r", "u", "default"});
  return make_pod(*compiled.plan, 0, task, "r", {}, places);
}

std::vector<std::string> places_of(const std::vector<steps::VolumeMount>& mounts) {
  std::vector<std::string> out;
  for (const steps::VolumeMount& mount : mounts)
    out.push_back(mount.source.native() + " " + mount.destination.native());
  return out;
}

TEST(PodSpec, MountsAWorkspaceThatIsNamedByOneOnlyThere) {
  const PodRequest pod = pod_of_run(
      "  workspaces: [{name: w, emptyDir: {}}, {name: all, emptyDir: {}}]\n"
      "  taskSpec:\n    workspaces: [{name: w}, {name: all}]\n    steps:\n"
      "    - {name: a, image: i, workspaces: [{name: w, mountPath: /mine}]}\n    - {name: b, image: i}\n"
      "    sidecars: [{name: s, image: i, workspaces: [{name: w}]}]\n");
  const std::string source = pod.spec.folder.native() + "/emptydir/";
  EXPECT_EQ(places_of(pod.spec.workspaces), std::vector<std::string>{source + "all /workspace/all"});
  EXPECT_EQ(places_of(pod.spec.steps.at(0).mounts), std::vector<std::string>{source + "w /mine"});
  EXPECT_TRUE(pod.spec.steps.at(1).mounts.empty());
  EXPECT_EQ(places_of(pod.spec.sidecars.at(0).mounts), std::vector<std::string>{source + "w /workspace/w"});
}

TEST(PodSpec, CarriesAllThatAProbeSays) {
  const PodRequest pod = pod_of(
      "      sidecars:\n      - name: s\n        image: im\n        ports: [{name: web, containerPort: "
      "8443}]\n"
      "        readinessProbe: {httpGet: {port: web, scheme: HTTPS, host: other.example, httpHeaders: "
      "[{name: A, "
      "value: b}]}}\n"
      "        livenessProbe: {grpc: {port: 5, service: db}, terminationGracePeriodSeconds: 3}\n"
      "        startupProbe: {tcpSocket: {port: web, host: localhost}}\n"
      "      steps: [{name: one, image: i}]\n");
  const steps::SidecarSpec& sidecar = pod.spec.sidecars.at(0);
  EXPECT_EQ(sidecar.readiness->port, 8443);
  EXPECT_TRUE(sidecar.readiness->https);
  EXPECT_EQ(sidecar.readiness->host, "other.example");
  EXPECT_EQ(sidecar.readiness->headers.at(0), (std::pair<std::string, std::string>("A", "b")));
  EXPECT_EQ(sidecar.liveness->kind, steps::Probe::Kind::Grpc);
  EXPECT_EQ(sidecar.liveness->service, "db");
  EXPECT_EQ(sidecar.liveness->grace, std::chrono::seconds(3));
  EXPECT_EQ(sidecar.startup->host, "") << "the pod itself";
}

TEST(PodSpec, CarriesSidecarsAndTheirProbes) {
  const PodRequest pod = pod_of(
      "      sidecars:\n      - name: s\n        image: im\n        args: [a]\n"
      "        readinessProbe: {httpGet: {port: 80, path: up}, periodSeconds: 2, initialDelaySeconds: 3}\n"
      "        livenessProbe: {exec: {command: [c, d]}, timeoutSeconds: 4, failureThreshold: 5}\n"
      "        startupProbe: {tcpSocket: {port: 81}}\n"
      "      steps: [{name: one, image: i, stdoutConfig: {path: o}, results: [{name: r}]}]\n");
  const steps::SidecarSpec& sidecar = pod.spec.sidecars.at(0);
  EXPECT_EQ(sidecar.name, "s");
  EXPECT_EQ(sidecar.args, std::vector<std::string>{"a"});
  EXPECT_EQ(sidecar.readiness->kind, steps::Probe::Kind::HttpGet);
  EXPECT_EQ(sidecar.readiness->path, "/up");
  EXPECT_EQ(sidecar.readiness->port, 80);
  EXPECT_EQ(sidecar.readiness->period, 2s);
  EXPECT_EQ(sidecar.readiness->initial_delay, 3s);
  EXPECT_EQ(sidecar.liveness->command, (std::vector<std::string>{"c", "d"}));
  EXPECT_EQ(sidecar.liveness->timeout, 4s);
  EXPECT_EQ(sidecar.liveness->failure_threshold, 5);
  EXPECT_EQ(sidecar.startup->port, 81);
  EXPECT_EQ(pod.spec.steps.at(0).stdout_path, "o");
  EXPECT_EQ(pod.spec.steps.at(0).results, std::vector<std::string>{"r"});
}

TEST(PodSpec, MakesAVolumeOfObjectsOnceAndReadOnly) {
  const PodRequest pod = pod_of_run(
      "  taskSpec:\n    volumes: [{name: v, secret: {secretName: s}}]\n    steps:\n"
      "    - {image: i, volumeMounts: [{name: v, mountPath: /v}]}\n"
      "    - {image: i, volumeMounts: [{name: v, mountPath: /k, subPath: ssh-privatekey}]}\n");
  ASSERT_EQ(pod.contents.size(), 1u);
  EXPECT_EQ(pod.contents[0].folder, "/private/r.0/volumes/v");
  EXPECT_EQ(pod.private_folder, "/private/r.0");
  EXPECT_EQ(pod.spec.steps[0].mounts.at(0).source, "/private/r.0/volumes/v");
  EXPECT_EQ(pod.spec.steps[1].mounts.at(0).source, "/private/r.0/volumes/v/ssh-privatekey");
  EXPECT_TRUE(pod.spec.steps[0].mounts[0].read_only && pod.spec.steps[1].mounts[0].read_only);
  EXPECT_THROW(pod_of_run("  taskSpec:\n    volumes: [{name: v, secret: {secretName: s}}]\n    steps:\n"
                          "    - {image: i, volumeMounts: [{name: v, mountPath: /v, subPath: other}]}\n"),
               Error);
}

TEST(PodSpec, TakesCredentialsFromTheRunsServiceAccount) {
  const std::string task = "  taskSpec: {steps: [{image: i, script: x}]}\n";
  const PodRequest pod = pod_of_run("  serviceAccountName: bot\n" + task);
  EXPECT_EQ(pod.spec.credentials.folder, "/private/r.0/creds");
  EXPECT_EQ(pod.spec.credentials.files, (std::vector<std::filesystem::path>{".ssh/config", ".ssh/id_s"}));
  EXPECT_TRUE(pod_of_run(task).spec.credentials.files.empty());
  const PodRequest other = pod_of_run("  serviceAccountName: nobody\n" + task);
  ASSERT_EQ(other.notes.size(), 1u);
  EXPECT_NE(other.notes[0].find("\"nobody\" is not among the documents loaded"), std::string::npos);
}

TEST(PodSpec, TellsAStepAboutItsPod) {
  const PodRequest pod = pod_of_run(
      "  taskSpec:\n    steps:\n    - image: i\n      env:\n"
      "      - {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}\n"
      "      - {name: TEAM, valueFrom: {fieldRef: {fieldPath: \"metadata.labels['team']\"}}}\n"
      "      - {name: RUN, valueFrom: {fieldRef: {fieldPath: \"metadata.labels['tekton.dev/taskRun']\"}}}\n");
  using Pairs = std::vector<std::pair<std::string, std::string>>;
  EXPECT_EQ(pod.spec.steps[0].env, (Pairs{{"POD", "r-pod"}, {"TEAM", "blue"}, {"RUN", "r"}}));
}

TEST(PodSpec, AnotherAttemptIsAnotherPodOfTheSameTaskRun) {
  const PodRequest pod = pod_of(
      "      steps:\n      - image: i\n        env:\n"
      "        - {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}\n"
      "        - {name: RUN, valueFrom: {fieldRef: {fieldPath: "
      "\"metadata.labels['tekton.dev/taskRun']\"}}}\n");
  using Pairs = std::vector<std::pair<std::string, std::string>>;
  EXPECT_EQ(pod.spec.steps[0].env, (Pairs{{"POD", "r-t-pod-retry1"}, {"RUN", "r-t"}}));
}

TEST(PodSpec, TakesAHostPathOnlyBelowWhatIsAllowed) {
  const auto run = [](const std::string& path, std::vector<std::filesystem::path> allowed) {
    PodPlaces places;
    places.host_paths = std::move(allowed);
    return pod_of_run("  taskSpec:\n    volumes: [{name: v, hostPath: {path: " + path +
                          "}}]\n    steps: [{image: i, volumeMounts: [{name: v, mountPath: /v}]}]\n",
                      places);
  };
  EXPECT_EQ(run("/srv/a", {"/srv"}).spec.steps[0].mounts.at(0).source, "/srv/a");
  EXPECT_EQ(run("/srv", {"/srv"}).host_paths.size(), 1u);
  EXPECT_THROW(run("/srv/a", {}), Error);
  EXPECT_THROW(run("/srv/../etc", {"/srv"}), Error);
  EXPECT_THROW(run("/srvx", {"/srv"}), Error);
}

TEST(PodSpec, GivesPrivilegesOnlyWhenAllowed) {
  const auto run = [](const std::string& context, bool allowed) {
    PodPlaces places;
    places.allow_privileged = allowed;
    return pod_of_run("  taskSpec: {steps: [{image: i, script: x, securityContext: " + context + "}]}\n",
                      places)
        .spec.steps.at(0);
  };
  EXPECT_THROW(run("{privileged: true}", false), Error);
  EXPECT_TRUE(run("{privileged: true}", true).privileged);
  EXPECT_THROW(run("{capabilities: {add: [SYS_ADMIN]}}", false), Error);
  EXPECT_EQ(run("{capabilities: {drop: [ALL]}}", false).capabilities, 0u);
  EXPECT_FALSE(run("{}", true).capabilities);
  EXPECT_TRUE(run("{runAsNonRoot: true}", false).run_as_non_root);
}

TEST(PodSpec, TakesGroupsFromThePodTemplateAndKeepsTheUsersNetwork) {
  const std::string run =
      "  podTemplate: {hostNetwork: true, securityContext: {fsGroup: 7, supplementalGroups: [8, 9], "
      "runAsUser: 5}}\n"
      "  taskSpec: {steps: [{image: i, script: x}]}\n";
  PodPlaces places;
  places.network = steps::Network::Private;
  const PodRequest pod = pod_of_run(run, places);
  EXPECT_EQ(pod.group, 7u);
  EXPECT_EQ(pod.spec.steps[0].groups, (std::vector<uint32_t>{8, 9, 7}));
  EXPECT_EQ(pod.spec.steps[0].run_as_user, 5u);
  EXPECT_EQ(pod.spec.network, steps::Network::Private);  // what the user asked for stays
  EXPECT_EQ(pod.notes.size(), 1u);
}

TEST(PodSpec, IsHermeticByTheRunsAnnotation) {
  const auto hermetic = [](const std::string& annotations) {
    return pod_of_run("  taskSpec: {steps: [{image: i, script: x}]}\n", {}, annotations).spec.hermetic;
  };
  EXPECT_TRUE(hermetic("experimental.tekton.dev/execution-mode: hermetic"));
  EXPECT_FALSE(hermetic("experimental.tekton.dev/execution-mode: other"));
}

TEST(PodSpec, TakesLimitsFromStepSpecsAndNotRequests) {
  const PodRequest pod = pod_of_run(
      "  stepSpecs: [{name: s, computeResources: {requests: {cpu: 8}, limits: {memory: 32Mi}}}]\n"
      "  taskSpec: {steps: [{name: s, image: i, script: x, computeResources: {limits: {memory: 64Mi, cpu: "
      "1}}}]}\n");
  EXPECT_EQ(pod.spec.steps[0].resources.memory_bytes, 32u << 20);
  EXPECT_DOUBLE_EQ(pod.spec.steps[0].resources.cpus, 0);
}

TEST(PodSpec, RefusesAMalformedQuantity) {
  EXPECT_THROW(pod_of("      params: [{name: m, default: lots}]\n"
                      "      steps: [{image: i, computeResources: {limits: {memory: $(params.m)}}}]\n"),
               Error);
}

TEST(PodSpec, ReadsQuantities) {
  EXPECT_DOUBLE_EQ(*dag::parse_quantity("1.5"), 1.5);
  EXPECT_DOUBLE_EQ(*dag::parse_quantity("250m"), 0.25);
  EXPECT_DOUBLE_EQ(*dag::parse_quantity("1Gi"), 1073741824.0);
  EXPECT_DOUBLE_EQ(*dag::parse_quantity("2k"), 2000.0);
  for (const char* bad : {"", "x", "1X", "-1", "1 Gi", "nan", "inf"})
    EXPECT_FALSE(dag::parse_quantity(bad)) << bad;
}

}  // namespace
}  // namespace kiln::executor
