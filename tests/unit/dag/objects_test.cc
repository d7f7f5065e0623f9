#include <gmock/gmock.h>

#include "dag/compile.h"
#include "tests/unit/dag/support.h"

namespace kiln::dag {
namespace {

using testing::compile_text;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::messages;
using ::testing::Not;
using testing::plan_of;

const std::string kObjects =
    "apiVersion: v1\nkind: Secret\nmetadata: {name: login}\nstringData: {user: u, password: p}\n---\n"
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: words}\ndata: {a: x}\n---\n";

std::string task(const std::string& spec) {
  return kObjects + "apiVersion: tekton.dev/v1\nkind: Task\nmetadata: {name: t}\nspec:\n" + spec;
}

std::string said(const std::string& text, const RunRequest& request = {}) {
  return messages(compile_text(text, request).diagnostics);
}

std::string env(const std::string& source) {
  return task(
      "  params: [{name: 'n', default: login}]\n  steps:\n  - image: i\n    script: x\n    env:\n    - name: "
      "A\n      valueFrom: {" +
      source + "}\n");
}

TEST(Objects, HaveToBeLoadedBeforeARun) {
  const std::string text = said(env("secretKeyRef: {name: logn, key: user}"));
  EXPECT_THAT(text, HasSubstr("p.yaml:21:40: error: Secret \"logn\" is not among the documents loaded"));
  EXPECT_THAT(text, HasSubstr("did you mean `login`?"));
  EXPECT_THAT(said(env("configMapKeyRef: {name: zzz, key: a}")), HasSubstr("loaded: words"));
  EXPECT_THAT(said(env("secretKeyRef: {name: login, key: user}")), IsEmpty());
}

TEST(Objects, HaveToHaveTheKeysThatAreNamed) {
  EXPECT_THAT(said(env("secretKeyRef: {name: login, key: x}")),
              HasSubstr("Secret \"login\" has no key \"x\"\n  hint: it has: password, user"));
  EXPECT_THAT(said(task("  volumes: [{name: v, configMap: {name: words, items: [{key: b, path: b}]}}]\n"
                        "  steps: [{image: i, script: x}]\n")),
              HasSubstr("ConfigMap \"words\" has no key \"b\""));
}

TEST(Objects, MayBeMissingWhenOptional) {
  EXPECT_THAT(said(env("secretKeyRef: {name: gone, key: x, optional: true}")), IsEmpty());
  EXPECT_THAT(
      said(task("  volumes: [{name: v, secret: {secretName: gone, optional: true}}]\n"
                "  steps: [{image: i, script: x, envFrom: [{secretRef: {name: gone, optional: true}}]}]\n")),
      IsEmpty());
}

TEST(Objects, AreLookedForByTheirNamesAfterSubstitution) {
  EXPECT_THAT(said(env("secretKeyRef: {name: $(params.n), key: user}")), IsEmpty());
  RunRequest request;
  request.params = {{"n", "other"}};
  EXPECT_THAT(said(env("secretKeyRef: {name: $(params.n), key: user}"), request),
              HasSubstr("Secret \"other\" is not among"));
}

TEST(Objects, OfAWorkspaceHaveToBeLoaded) {
  const std::string text = task("  workspaces: [{name: w}]\n  steps: [{image: i, script: x}]\n");
  RunRequest request;
  request.workspaces = {parse_workspace_flag("w=secret=gone")};
  EXPECT_THAT(said(text, request), HasSubstr("Secret \"gone\" is not among the documents loaded"));
  request.workspaces = {parse_workspace_flag("w=config=words")};
  EXPECT_THAT(said(text, request), IsEmpty());
}

TEST(Objects, OfAPodTemplateAreCheckedWhereTheyStand) {
  const std::string text = said(
      kObjects +
      "apiVersion: tekton.dev/v1\nkind: TaskRun\nmetadata: {name: r}\nspec:\n  podTemplate:\n    env: "
      "[{name: A, "
      "valueFrom: {secretKeyRef: {name: gone, key: x}}}]\n  taskSpec: {steps: [{image: i, script: x}]}\n");
  EXPECT_THAT(text, HasSubstr("p.yaml:16:"));
  EXPECT_THAT(text, HasSubstr("Secret \"gone\""));
}

TEST(Objects, ThatMayBeOnAClusterAreAWarningToLint) {
  Documents documents;
  Diagnostics diagnostics;
  load(documents, "p.yaml", env("secretKeyRef: {name: gone, key: x}"), diagnostics);
  StoredResolver resolver;
  const std::string text = messages(lint(documents, resolver, diagnostics));
  EXPECT_THAT(text, HasSubstr("warning: Secret \"gone\""));
  EXPECT_THAT(text, Not(HasSubstr("error")));
}

TEST(Objects, StayInsideTheirVolume) {
  for (const char* path : {"../x", "/x", "a/../b"})
    EXPECT_THAT(said(task("  volumes: [{name: v, secret: {secretName: login, items: [{key: user, path: " +
                          std::string(path) + "}]}}]\n  steps: [{image: i, script: x}]\n")),
                HasSubstr("invalid path \"" + std::string(path) + "\""));
}

TEST(Unsupported, IsWhatNobodyAllowed) {
  const Plan plan =
      plan_of(task("  volumes: [{name: v, hostPath: {path: /srv}}]\n"
                   "  steps: [{image: i, script: x, securityContext: {privileged: true}}]\n"));
  const std::string text = messages(unsupported(plan));
  EXPECT_THAT(text, HasSubstr("allow it with --allow-host-path /srv"));
  EXPECT_THAT(text, HasSubstr("allow it with --allow-privileged"));
  EXPECT_THAT(unsupported(plan, {.privileged = true, .host_paths = true}), IsEmpty());
}

TEST(Unsupported, IsAVolumeThatOnlyAClusterHas) {
  for (const char* source :
       {"csi: {driver: d}", "ephemeral: {}", "nfs: {}", "projected: {sources: [{clusterTrustBundle: {}}]}"})
    EXPECT_THAT(messages(unsupported(plan_of(task("  volumes: [{name: v, " + std::string(source) +
                                                  "}]\n  steps: [{image: i, script: x}]\n")))),
                HasSubstr("a volume of this kind cannot be run yet"))
        << source;
  EXPECT_THAT(
      unsupported(plan_of(task("  volumes: [{name: v, downwardAPI: {items: [{path: l, fieldRef: {fieldPath: "
                               "metadata.labels}}]}}]\n  steps: [{image: i, script: x}]\n"))),
      IsEmpty());
}

TEST(Unsupported, IsAFieldThatNoPodHas) {
  EXPECT_THAT(messages(unsupported(plan_of(env("fieldRef: {fieldPath: spec.hostname}")))),
              HasSubstr("is no field that a variable can have"));
  EXPECT_THAT(messages(unsupported(plan_of(env("resourceFieldRef: {resource: limits.gpu}")))),
              HasSubstr("is no resource that a variable can have"));
  EXPECT_THAT(unsupported(plan_of(env("fieldRef: {fieldPath: \"metadata.labels['a']\"}"))), IsEmpty());
}

}  // namespace
}  // namespace kiln::dag
