#include "dag/compile.h"

#include <chrono>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <random>

#include "base/error.h"
#include "dag/graph.h"
#include "tests/unit/dag/support.h"

namespace kiln::dag {
namespace {

using testing::compile_text;
using ::testing::HasSubstr;
using testing::kStep;
using testing::messages;
using testing::pipeline;
using testing::plan_of;

std::string order(const Plan& plan) {
  std::string out;
  for (const PlannedTask& task : plan.tasks) out += (out.empty() ? "" : " ") + task.name;
  return out;
}

const std::string kChain = pipeline(
    "  tasks:\n"
    "  - {name: c, runAfter: [b], " +
    kStep +
    "}\n"
    "  - {name: b, params: [{name: v, value: $(tasks.a.results.r)}], taskSpec: {params: [{name: v}], steps: "
    "[{image: i, args: [$(params.v)]}]}}\n"
    "  - {name: a, taskSpec: {results: [{name: r}], steps: [{image: i, script: 'echo'}]}}\n"
    "  finally:\n"
    "  - {name: z, " +
    kStep + "}\n");

TEST(Compile, OrdersTasksByEveryKindOfEdge) {
  const Plan plan = plan_of(kChain);
  EXPECT_EQ(order(plan), "a b c z");
  EXPECT_EQ(plan.dag_size, 3u);
  ASSERT_EQ(plan.tasks[1].needs.size(), 1u);
  EXPECT_EQ(plan.tasks[1].needs[0].reasons, (std::vector<EdgeReason>{{EdgeReason::Kind::Result, "r"}}));
  EXPECT_EQ(plan.tasks[2].needs[0].reasons, (std::vector<EdgeReason>{{EdgeReason::Kind::RunAfter, ""}}));
  EXPECT_EQ(plan.tasks[3].needs[0].reasons, (std::vector<EdgeReason>{{EdgeReason::Kind::Finally, ""}}));
}

TEST(Compile, DrawsThePlan) {
  const Plan plan = plan_of(kChain);
  EXPECT_EQ(graph(plan, "ascii"),
            "Pipeline p\n"
            "  a\n"
            "    b    ← a (result r)\n"
            "      c  ← b (runAfter)\n"
            "  finally\n"
            "    z\n");
  EXPECT_NE(graph(plan, "dot").find("\"a\" -> \"b\" [label=\"result r\"]"), std::string::npos);
  EXPECT_NE(graph(plan, "mermaid").find("t0 -- \"result r\" --> t1"), std::string::npos);
  EXPECT_NE(graph(plan, "json").find("\"runAfter\""), std::string::npos);
  EXPECT_THROW(graph(plan, "png"), Error);
}

TEST(Compile, DrawsARunOfThePlan) {
  const Plan plan = plan_of(kChain);
  const RunOutcome run{"p-x7k2p",
                       "Failed",
                       {{"a", "a", "Cached", "Succeeded", std::chrono::milliseconds(1500), {}},
                        {"b", "b", "Failed", "Failed", std::chrono::seconds(2), {}},
                        {"c", "c", "Skipped", "PipelineRun was stopping", {}, {}},
                        {"z", "z-0", "Succeeded", "", {}, {}},
                        {"z", "z-1", "Failed", "", {}, {}}}};
  EXPECT_EQ(graph(plan, "ascii", &run),
            "Pipeline p, run p-x7k2p: Failed\n"
            "  a      Cached  1.5 s\n"
            "    b    Failed  2.0 s          ← a (result r)\n"
            "      c  Skipped                ← b (runAfter)\n"
            "  finally\n"
            "    z    1 Succeeded, 1 Failed\n");
  EXPECT_THAT(
      graph(plan, "dot", &run),
      HasSubstr("\"a\" [label=\"a\\nCached  1.5 s\", class=cached, fillcolor=\"#b2dfdb\", style=filled]"));
  const std::string mermaid = graph(plan, "mermaid", &run);
  EXPECT_THAT(mermaid, HasSubstr("t1[\"b<br/>Failed  2.0 s\"]\n  class t1 failed\n"));
  EXPECT_THAT(mermaid, HasSubstr("classDef failed fill:"));
  EXPECT_THAT(mermaid, HasSubstr("class t3 failed")) << "of a matrix what matters most";
  const nlohmann::json tasks = graph_json(plan, &run)["tasks"];
  EXPECT_EQ(tasks[0]["seconds"], 1.5);
  EXPECT_EQ(tasks[2]["state"], "Skipped");
  EXPECT_EQ(tasks[2]["reason"], "PipelineRun was stopping");
  EXPECT_EQ(tasks[3]["runs"][1]["name"], "z-1");
}

TEST(Compile, ListsAllMissingParamsWithTheFlagToType) {
  const Compiled compiled = compile_text(pipeline(
      "  params: [{name: url}, {name: tags, type: array}, {name: ok, default: x}]\n  tasks: [{name: a, " +
      kStep + "}]\n"));
  ASSERT_EQ(compiled.diagnostics.size(), 1u) << messages(compiled.diagnostics);
  EXPECT_EQ(compiled.diagnostics[0].message,
            "missing values for these params which have no default values: [url tags]");
  EXPECT_EQ(compiled.diagnostics[0].hint, "add -p url=… -p tags='[\"…\"]'");
}

TEST(Compile, FlagsWinOverTheRunAndTheRunOverDefaults) {
  const std::string text =
      pipeline(
          "  params: [{name: a, default: 1d}, {name: b, default: 2d}, {name: c, default: $(params.b)!}]\n  "
          "tasks: [{name: t, " +
          kStep + "}]\n") +
      "---\napiVersion: tekton.dev/v1\nkind: PipelineRun\nmetadata: {generateName: p-}\n"
      "spec: {pipelineRef: {name: p}, params: [{name: a, value: 1r}, {name: b, value: 2r}]}\n";
  RunRequest request;
  request.params = {{"b", "2f"}};
  const Plan plan = plan_of(text, request);
  EXPECT_EQ(plan.run_prefix, "p-");
  EXPECT_EQ(plan.params[0].value.text, "1r");
  EXPECT_EQ(plan.params[1].value.text, "2f");
  EXPECT_EQ(plan.params[2].value.text, "2f!");
}

TEST(Compile, ReadsArraysAndObjectsFromFlags) {
  RunRequest request;
  request.params = {{"a", "x,y"}, {"a", "[\"z\"]"}, {"o", "{\"k\": \"v\"}"}};
  const Plan plan = plan_of(
      pipeline(
          "  params: [{name: a, type: array}, {name: o, type: object, properties: {k: {type: string}}}]\n"
          "  tasks: [{name: t, " +
          kStep + "}]\n"),
      request);
  EXPECT_EQ(plan.params[0].value, ParamValue::array({"x", "y", "z"}));
  EXPECT_EQ(plan.params[1].value, ParamValue::object({{"k", "v"}}));
}

TEST(Compile, UnboundWorkspacesGetARunFolderAndOptionalOnesNothing) {
  const Plan plan = plan_of(pipeline(
      "  workspaces: [{name: src}, {name: cache, optional: true}]\n"
      "  tasks: [{name: t, workspaces: [{name: s, workspace: src, subPath: d}, {name: c, workspace: cache}], "
      "taskSpec: {workspaces: [{name: s}, {name: c, optional: true}], steps: [{image: i}]}}]\n"));
  ASSERT_EQ(plan.tasks[0].workspaces.size(), 2u);
  EXPECT_EQ(plan.tasks[0].workspaces[0].binding.kind, WorkspaceBinding::Kind::RunFolder);
  EXPECT_EQ(plan.tasks[0].workspaces[0].binding.sub_path.value, "d");
  EXPECT_EQ(plan.tasks[0].workspaces[0].path(), "/workspace/s");
  EXPECT_FALSE(plan.tasks[0].workspaces[1].bound);
}

TEST(Compile, AWorkspaceFlagWins) {
  RunRequest request;
  request.workspaces = {parse_workspace_flag("src=/tmp/x")};
  const Plan plan = plan_of(pipeline("  workspaces: [{name: src}]\n  tasks: [{name: t, workspaces: [{name: "
                                     "src}], taskSpec: {workspaces: [{name: src}], steps: [{image: i}]}}]\n"),
                            request);
  EXPECT_EQ(plan.tasks[0].workspaces[0].binding.kind, WorkspaceBinding::Kind::HostFolder);
  EXPECT_EQ(plan.tasks[0].workspaces[0].binding.folder, "/tmp/x");
}

TEST(Compile, WorkspaceFlagsAreReadOrRefused) {
  EXPECT_TRUE(parse_workspace_flag("a=emptyDir").is(VolumeSource::Kind::EmptyDir));
  EXPECT_EQ(parse_workspace_flag("a=claim=npm").source.name.value, "npm");
  for (const char* bad : {"a", "a=", "=x", "a=claim=", "a=claim=../x", "a=secret=a/b"})
    EXPECT_THROW(parse_workspace_flag(bad), Error) << bad;
}

TEST(Compile, ALoneTaskRuns) {
  const std::string task =
      "apiVersion: tekton.dev/v1\nkind: Task\nmetadata: {name: greet}\n"
      "spec: {params: [{name: who, default: you}, {name: l, type: array, default: [a]}], workspaces: [{name: "
      "out, optional: true}], results: [{name: r}], steps: [{image: i, args: [$(params.who), "
      "'$(params.l[*])']}]}\n";
  RunRequest request;
  request.params = {{"who", "me"}};
  const Plan plan = plan_of(task, request);
  EXPECT_EQ(plan.kind, Plan::Kind::Task);
  ASSERT_EQ(order(plan), "greet");
  EXPECT_EQ(plan.tasks[0].params[0].value.text, "me");
  EXPECT_EQ(plan.tasks[0].params[1].value, ParamValue::array({"a"}));
}

TEST(Compile, SeveralCandidatesAskForAChoice) {
  const std::string two =
      pipeline("  tasks: [{name: t, " + kStep + "}]\n") + "---\n" +
      "apiVersion: tekton.dev/v1\nkind: Pipeline\nmetadata: {name: q}\nspec: {tasks: [{name: u, " + kStep +
      "}]}\n";
  const Compiled compiled = compile_text(two);
  ASSERT_FALSE(compiled.plan);
  EXPECT_EQ(compiled.diagnostics[0].message, "several pipelines to choose from: p, q");
  EXPECT_EQ(compiled.diagnostics[0].hint, "choose one: --pipeline p");
  RunRequest request;
  request.target = "q";
  EXPECT_EQ(order(plan_of(two, request)), "u");
}

TEST(Compile, CyclesAreShownWhole) {
  const Compiled compiled = compile_text(pipeline("  tasks:\n  - {name: a, runAfter: [b, c], " + kStep +
                                                  "}\n  - {name: b, runAfter: [c], " + kStep +
                                                  "}\n  - {name: c, runAfter: [a], " + kStep + "}\n"));
  ASSERT_EQ(compiled.diagnostics.size(), 1u) << messages(compiled.diagnostics);
  EXPECT_EQ(compiled.diagnostics[0].message, R"(cycle detected; task "a" depends on "b", "c")");
  EXPECT_EQ(compiled.diagnostics[0].hint, "the whole cycle (each waits for the next): a → b → c → a");
}

TEST(Compile, UnreadyDocumentsGiveNoPlanButAllProblems) {
  const Compiled compiled =
      compile_text(pipeline("  taks: []\n  tasks: [{name: a, runafter: [b], " + kStep + "}]\n"));
  EXPECT_FALSE(compiled.plan);
  EXPECT_EQ(compiled.diagnostics.size(), 3u)
      << messages(compiled.diagnostics);  // taks, runafter's case, unknown b
}

TEST(Compile, ASkippedKindIsANote) {
  const Compiled compiled = compile_text("apiVersion: v1\nkind: Service\nmetadata: {name: c}\n---\n" +
                                         pipeline("  tasks: [{name: t, " + kStep + "}]\n"));
  EXPECT_TRUE(compiled.plan);
  ASSERT_EQ(compiled.diagnostics.size(), 1u);
  EXPECT_EQ(compiled.diagnostics[0].severity, Severity::Note);
}

TEST(Compile, RecompilesToTheSamePlan) {
  const Plan plan = plan_of(kChain);
  const Compiled again = recompile(plan.sources, plan.remote, plan.request);
  ASSERT_TRUE(again.plan);
  EXPECT_EQ(graph(*again.plan, "json"), graph(plan, "json"));
}

class OneRemote final : public Resolver {
 public:
  std::string fetch(const RemoteRef& reference) override {
    if (reference.params.at("url") != "there")
      throw Error(ErrorKind::Unavailable, "git: no answer", "is it up?");
    return "apiVersion: tekton.dev/v1\nkind: Task\nmetadata: {name: remote}\nspec: {steps: [{image: i}]}\n";
  }
};

TEST(Compile, FetchesRemoteTasksThroughTheResolver) {
  const auto with = [](const std::string& url) {
    Documents documents;
    Diagnostics diagnostics;
    load(documents, "p.yaml",
         pipeline("  tasks: [{name: t, taskRef: {resolver: git, params: [{name: url, value: " + url +
                  "}]}}]\n"),
         diagnostics);
    OneRemote resolver;
    return compile(documents, {}, resolver, std::move(diagnostics));
  };
  const Compiled good = with("there");
  ASSERT_TRUE(good.plan) << messages(good.diagnostics);
  EXPECT_EQ(good.plan->tasks[0].task_name, "remote");
  EXPECT_TRUE(recompile(good.plan->sources, good.plan->remote, good.plan->request).plan)
      << "offline, from what the plan keeps";
  const Compiled bad = with("elsewhere");
  ASSERT_FALSE(bad.plan);
  EXPECT_EQ(bad.diagnostics[0].message, "git: no answer");
  EXPECT_EQ(bad.diagnostics[0].hint, "is it up?");
}

// Property: whatever the DAG, no task stands before one it needs.
TEST(Compile, RandomGraphsComeOutInTopologicalOrder) {
  std::mt19937 random(7);
  for (int round = 0; round < 50; ++round) {
    const size_t n = 2 + random() % 30;
    std::vector<size_t> shuffled(n);
    for (size_t i = 0; i < n; ++i) shuffled[i] = i;
    std::shuffle(shuffled.begin(), shuffled.end(), random);
    std::string text = "  tasks:\n";
    for (size_t i : shuffled) {
      text += "  - {name: t" + std::to_string(i) + ", runAfter: [";
      for (size_t k = 0; k < i; ++k)
        if (random() % 4 == 0) text += "t" + std::to_string(k) + ", ";
      text += "], " + kStep + "}\n";
    }
    const Plan plan = plan_of(pipeline(text));
    for (size_t i = 0; i < plan.tasks.size(); ++i)
      for (const Edge& edge : plan.tasks[i].needs) EXPECT_LT(edge.from, i);
  }
}

TEST(Compile, TenThousandTasksStayNearLinear) {
  const auto time_of = [](size_t n) {
    std::string text = "  tasks:\n";
    for (size_t i = 0; i < n; ++i)
      text += "  - name: task-" + std::to_string(i) + "\n" +
              (i ? "    runAfter: [task-" + std::to_string(i / 2) + "]\n" : "") +
              "    taskSpec:\n      steps:\n      - image: i\n        script: echo\n";
    const auto start = std::chrono::steady_clock::now();
    const Plan plan = plan_of(pipeline(text));
    EXPECT_EQ(plan.tasks.size(), n);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  const double small = time_of(1'000), large = time_of(10'000);
  RecordProperty("seconds_for_10000", std::to_string(large));
  EXPECT_LT(large, std::max(0.05, small) * 40)
      << "growth should be near linear: " << small << " s, " << large << " s";
}

TEST(Compile, ATasksPodTemplateIsPutOverThatOfAll) {
  const Plan plan = plan_of(
      "apiVersion: tekton.dev/v1\nkind: PipelineRun\nmetadata: {name: r}\nspec:\n  taskRunTemplate: "
      "{podTemplate: "
      "{env: [{name: GEN, value: g}, {name: X, value: all}], volumes: [{name: v}], securityContext: "
      "{runAsUser: "
      "7}, imagePullSecrets: [{name: s}]}}\n  taskRunSpecs: [{pipelineTaskName: a, podTemplate: {env: "
      "[{name: X, "
      "value: mine}]}}]\n  pipelineSpec:\n    tasks: [{name: a, " +
      kStep + "}]\n");
  const PodTemplate& of_a = plan.tasks[0].settings->pod_template;
  ASSERT_EQ(of_a.env.size(), 2u);
  EXPECT_EQ(of_a.env[0].value.value, "mine");
  EXPECT_EQ(of_a.env[1].name.value, "GEN");
  EXPECT_EQ(of_a.volumes.size(), 1u);
  EXPECT_EQ(of_a.security.run_as_user, 7);
  EXPECT_EQ(of_a.image_pull_secrets.size(), 1u);
}

}  // namespace
}  // namespace kiln::dag
