#include "dag/resolve.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>
#include <regex>

#include "tests/unit/dag/support.h"

namespace kiln::dag {
namespace {

using testing::kStep;
using testing::pipeline;
using testing::plan_of;

class Facts final : public RunFacts {
 public:
  std::map<std::pair<size_t, std::string>, ParamValue> results;
  std::map<size_t, std::string> statuses;
  std::string aggregate = "Succeeded";

  const ParamValue* result(size_t task, std::string_view name) const override {
    const auto found = results.find({task, std::string(name)});
    return found == results.end() ? nullptr : &found->second;
  }
  std::string_view status(size_t task) const override {
    const auto found = statuses.find(task);
    return found == statuses.end() ? std::string_view("None") : std::string_view(found->second);
  }
  std::string_view reason(size_t) const override { return "FailureIgnored"; }
  std::string_view aggregate_status() const override { return aggregate; }
};

const RunContext kContext{"p-run-1", "uid-1", "default"};

std::string script_of(const Plan& plan, size_t task, const RunFacts& facts = no_facts(), int attempt = 0) {
  return resolve_task(plan, task, facts, kContext, {.attempt = attempt}).spec.steps.at(0).script;
}

TEST(Resolve, PutsInParamsContextsAndPaths) {
  const Plan plan =
      plan_of(pipeline("  params: [{name: p, default: P}]\n  workspaces: [{name: w}]\n"
                       "  tasks:\n  - name: t\n    retries: 3\n    params: [{name: a, value: "
                       "$(params.p)-$(context.pipelineRun.name)}]\n"
                       "    workspaces: [{name: w}]\n"
                       "    taskSpec:\n      params: [{name: a}]\n      results: [{name: r}]\n      "
                       "workspaces: [{name: w, mountPath: /in}, {name: o, optional: true}]\n"
                       "      steps:\n      - image: i\n        script: |\n"
                       "          $(params.a) $(context.taskRun.name) "
                       "$(context.task.retry-count)/$(context.pipelineTask.retries)\n"
                       "          $(results.r.path) $(workspaces.w.path) $(workspaces.w.bound) "
                       "[$(workspaces.o.path)] $(workspaces.o.bound) $(date)\n"));
  EXPECT_EQ(script_of(plan, 0, no_facts(), 2),
            "P-p-run-1 p-run-1-t 2/3\n/tekton/results/r /in true [] false $(date)\n");
}

TEST(Resolve, InlineSpecsSeeThePipelinesParamsUnlessTheyAreGivenTheirOwn) {
  const Plan plan =
      plan_of(pipeline("  params: [{name: x, default: outer}, {name: 'y', default: outer}]\n  tasks:\n"
                       "  - {name: t, params: [{name: x, value: explicit}], taskSpec: {params: [{name: 'y', "
                       "default: inner}], steps: [{image: i, script: '$(params.x) $(params.y)'}]}}\n"));
  EXPECT_EQ(script_of(plan, 0), "explicit outer");
}

TEST(Resolve, WorkspacesPropagateIntoInlineSpecsThatMentionThem) {
  const Plan plan =
      plan_of(pipeline("  workspaces: [{name: w}]\n  tasks: [{name: t, taskSpec: {steps: [{image: i, script: "
                       "ls $(workspaces.w.path)}]}}]\n"));
  EXPECT_EQ(script_of(plan, 0), "ls /workspace/w");
}

TEST(Resolve, StepsTakeWhatTheTemplateGivesAndKeepTheirOwn) {
  const Plan plan =
      plan_of(pipeline("  tasks:\n  - name: t\n    taskSpec:\n      stepTemplate: {image: base, workingDir: "
                       "/w, env: [{name: A, value: t}, {name: B, value: t}]}\n"
                       "      steps: [{name: one, env: [{name: A, value: s}]}, {image: own}]\n"));
  const ResolvedTask task = resolve_task(plan, 0, no_facts(), kContext);
  EXPECT_EQ(task.spec.steps[0].image.value, "base");
  EXPECT_EQ(task.spec.steps[0].working_dir.value, "/w");
  ASSERT_EQ(task.spec.steps[0].env.size(), 2u);
  EXPECT_EQ(task.spec.steps[0].env[0].value.value, "s") << "a step's own counts";
  EXPECT_EQ(task.spec.steps[0].env[1].name.value, "B");
  EXPECT_EQ(task.spec.steps[1].image.value, "own");
  EXPECT_EQ(task.spec.steps[1].name.value, "unnamed-1");
}

TEST(Resolve, StepActionsRunUnderTheirOwnParams) {
  const Plan plan = plan_of(
      "apiVersion: tekton.dev/v1beta1\nkind: StepAction\nmetadata: {name: say}\nspec: {params: [{name: word, "
      "default: hm}, {name: 'n', default: '1'}], image: act, command: [echo, $(params.word), "
      "$(params.n)]}\n---\n" +
      pipeline("  params: [{name: p, default: hi}]\n  tasks: [{name: t, taskSpec: {steps: [{name: s, ref: "
               "{name: say}, params: [{name: word, value: $(params.p)}]}]}}]\n"));
  std::vector<std::string> words;
  const ResolvedTask task = resolve_task(plan, 0, no_facts(), kContext);
  for (const Text& word : task.spec.steps.at(0).command) words.push_back(word);
  EXPECT_EQ(words, (std::vector<std::string>{"echo", "hi", "1"}));
}

const std::string kProducer =
    "  - {name: a, taskSpec: {results: [{name: s}, {name: l, type: array}], steps: [{image: i}]}}\n";

TEST(Resolve, ResultsArriveAsTheirType) {
  const Plan plan = plan_of(
      pipeline("  tasks:\n" + kProducer +
               "  - {name: b, params: [{name: l, value: '$(tasks.a.results.l[*])'}, {name: e, value: "
               "'x-$(tasks.a.results.l[1])-$(tasks.a.results.s)'}], taskSpec: {params: [{name: l, type: "
               "array}, {name: e}], steps: [{image: i, script: $(params.e), args: ['$(params.l[*])']}]}}\n"));
  Facts facts;
  EXPECT_EQ(check_ready(plan, 1, facts, kContext).kind, Readiness::Kind::MissingResults);
  facts.results[{0, "s"}] = ParamValue::string("line\n");
  facts.results[{0, "l"}] = ParamValue::array({"one", "two"});
  EXPECT_EQ(check_ready(plan, 1, facts, kContext).kind, Readiness::Kind::Ready);
  const ResolvedTask task = resolve_task(plan, 1, facts, kContext);
  EXPECT_EQ(task.spec.steps[0].script.value, "x-two-line\n");
  EXPECT_EQ(task.spec.steps[0].args.size(), 2u);
  facts.results[{0, "l"}] = ParamValue::array({"one"});
  const Readiness readiness = check_ready(plan, 1, facts, kContext);
  EXPECT_EQ(readiness.kind, Readiness::Kind::Invalid);
  EXPECT_EQ(readiness.reason, "PipelineValidationFailed");
  EXPECT_EQ(readiness.message,
            "PipelineRun default/p-run-1 can't be Run; couldn't resolve all references: "
            "array Result Index 1 for Task a Result l is out of bound of size 1");
}

TEST(Resolve, AnIndexPastTheEndCountsBeforeWhenDoes) {
  const Plan plan = plan_of(pipeline("  tasks:\n" + kProducer +
                                     "  - {name: b, when: [{input: a, operator: in, values: [b]}, {input: "
                                     "'$(tasks.a.results.l[5])', operator: in, values: [x]}], " +
                                     kStep + "}\n"));
  Facts facts;
  facts.results[{0, "l"}] = ParamValue::array({"one"});
  EXPECT_EQ(check_ready(plan, 1, facts, kContext).reason, "PipelineValidationFailed");
  facts.results[{0, "l"}] = ParamValue::array({"1", "2", "3", "4", "5", "6"});
  EXPECT_EQ(check_ready(plan, 1, facts, kContext).kind, Readiness::Kind::WhenFalse);
}

TEST(Resolve, AFailingExpressionHasTheWordsOfTheRun) {
  const Plan plan = plan_of(pipeline("  tasks:\n" + kProducer +
                                     "  - {name: b, when: [{cel: \"int('x$(tasks.a.results.s)') == 2\"}], " +
                                     kStep + "}\n"));
  Facts facts;
  facts.results[{0, "s"}] = ParamValue::string("2");
  const Readiness readiness = check_ready(plan, 1, facts, kContext);
  EXPECT_EQ(readiness.reason, "CELEvaluationFailed");
  EXPECT_THAT(readiness.message, ::testing::StartsWith("Error evaluating CEL p-run-1: "));
}

TEST(Resolve, ATaskIsCalledWhatThePipelineSays) {
  const Plan plan = plan_of(
      "apiVersion: tekton.dev/v1\nkind: Task\nmetadata: {name: bt}\nspec: {displayName: BT, steps: "
      "[{image: i}]}\n---\n" +
      pipeline("  tasks:\n" + kProducer +
               "  - {name: b, displayName: 'got $(tasks.a.results.l[0])', taskRef: {name: bt}}\n"
               "  - {name: c, taskRef: {name: bt}}\n"));
  Facts facts;
  facts.results[{0, "l"}] = ParamValue::array({"one"});
  const auto name = [&](const std::string& task) {
    return resolve_task(plan, plan.index.at(task), facts, kContext).display_name;
  };
  EXPECT_EQ(name("b"), "got one");
  EXPECT_EQ(name("c"), "") << "the Task's own name is not the pipeline task's";
}

TEST(Resolve, WhenComparesAfterSubstitution) {
  const auto verdict = [](const std::string& when, const std::string& value) {
    const Plan plan = plan_of(pipeline("  params: [{name: list, type: array, default: [x, y]}]\n  tasks:\n" +
                                       kProducer + "  - {name: b, when: [" + when + "], " + kStep + "}\n"));
    Facts facts;
    facts.results[{0, "s"}] = ParamValue::string(value);
    return check_ready(plan, 1, facts, kContext).kind;
  };
  EXPECT_EQ(verdict("{input: $(tasks.a.results.s), operator: in, values: ['yes']}", "yes"),
            Readiness::Kind::Ready);
  EXPECT_EQ(verdict("{input: $(tasks.a.results.s), operator: in, values: ['yes']}", "no"),
            Readiness::Kind::WhenFalse);
  EXPECT_EQ(verdict("{input: $(tasks.a.results.s), operator: notin, values: ['yes']}", "no"),
            Readiness::Kind::Ready);
  EXPECT_EQ(verdict("{input: $(tasks.a.results.s), operator: in, values: ['$(params.list[*])']}", "y"),
            Readiness::Kind::Ready);
  EXPECT_EQ(verdict("{input: $(tasks.a.results.s), operator: in, values: ['$(params.list[*])']}", "z"),
            Readiness::Kind::WhenFalse);
}

TEST(Resolve, FinallyTasksSeeStatuses) {
  const Plan plan = plan_of(pipeline(
      "  tasks:\n" + kProducer +
      "  finally: [{name: z, params: [{name: v, value: '$(tasks.a.status) $(tasks.a.reason) "
      "$(tasks.status)'}], taskSpec: {params: [{name: v}], steps: [{image: i, script: $(params.v)}]}}]\n"));
  Facts facts;
  facts.statuses[0] = "Failed";
  facts.aggregate = "Completed";
  EXPECT_EQ(script_of(plan, 1, facts), "Failed FailureIgnored Completed");
}

TEST(Resolve, PipelineResultsLeaveOutWhatWasNotProduced) {
  const Plan plan =
      plan_of(pipeline("  results: [{name: one, value: 'v=$(tasks.a.results.s)'}, {name: two, value: "
                       "'$(tasks.a.results.l[*])'}]\n  tasks:\n" +
                       kProducer));
  Facts facts;
  facts.results[{0, "s"}] = ParamValue::string("S");
  const auto results = resolve_results(plan, facts, kContext);
  ASSERT_EQ(results.size(), 1u);
  EXPECT_EQ(results[0].second.text, "v=S");
  EXPECT_TRUE(lost_results(plan, facts, kContext).empty());
  facts.statuses[0] = "Succeeded";
  const std::vector<LostResult> lost = lost_results(plan, facts, kContext);
  ASSERT_EQ(lost.size(), 1u);
  EXPECT_EQ(lost[0].name, "two");
  EXPECT_EQ(lost[0].tasks, std::vector<size_t>{0});
}

TEST(Resolve, AClaimTemplateHasANameOfItsOwnPerRunAndWorkspace) {
  const auto claims = [](const std::string& uid) {
    const Plan plan = plan_of(
        pipeline("  workspaces: [{name: v}, {name: w}]\n  tasks:\n  - name: t\n    workspaces: [{name: v}, "
                 "{name: w}]\n    taskSpec: {workspaces: [{name: v}, {name: w}], steps: [{name: s, image: i, "
                 "script: $(workspaces.v.claim) $(workspaces.w.claim)}]}\n"));
    return resolve_task(plan, 0, no_facts(), {"p-run-1", uid, "default"}).spec.steps.at(0).script.value;
  };
  const std::string both = claims("uid-1");
  EXPECT_TRUE(std::regex_match(both, std::regex("pvc-[0-9a-f]{10} pvc-[0-9a-f]{10}"))) << both;
  EXPECT_NE(both.substr(0, 14), both.substr(15));
  EXPECT_EQ(claims("uid-1"), both);
  EXPECT_NE(claims("uid-2"), both);
}

TEST(Resolve, PipelineResultsAreNotMadeOfWhatAFailedTaskLeft) {
  const Plan plan =
      plan_of(pipeline("  results: [{name: one, value: 'v=$(tasks.a.results.s)'}]\n  tasks:\n" + kProducer));
  Facts facts;
  facts.results[{0, "s"}] = ParamValue::string("S");
  facts.statuses[0] = "Failed";
  EXPECT_TRUE(resolve_results(plan, facts, kContext).empty());
  facts.statuses[0] = "Succeeded";
  EXPECT_EQ(resolve_results(plan, facts, kContext).size(), 1u);
}

TEST(Resolve, InlineSpecsHaveTheNamesOfTheirRuns) {
  const std::string names = "steps: [{image: i, script: $(context.task.name) $(context.pipeline.name)}]";
  const Plan inlined = plan_of(
      "apiVersion: tekton.dev/v1\nkind: PipelineRun\nmetadata: {generateName: x-}\nspec: {pipelineSpec: "
      "{tasks: "
      "[{name: t, taskSpec: {" +
      names + "}}]}}\n");
  EXPECT_EQ(script_of(inlined, 0), "p-run-1-t p-run-1");
  const Plan named = plan_of("apiVersion: tekton.dev/v1\nkind: Task\nmetadata: {name: build}\nspec: {" +
                             names + "}\n---\n" + pipeline("  tasks: [{name: t, taskRef: {name: build}}]\n"));
  EXPECT_EQ(script_of(named, 0), "build p");
}

TEST(Resolve, WhenIsSaidWithItsValues) {
  const Plan plan =
      plan_of(pipeline("  tasks:\n" + kProducer +
                       "  - {name: b, when: [{input: $(tasks.a.results.s), operator: in, values: "
                       "[$(context.pipelineRun.name)]}], " +
                       kStep + "}\n"));
  Facts facts;
  facts.results[{0, "s"}] = ParamValue::string("S");
  const std::vector<When> when = resolve_when(plan, 1, facts, kContext);
  EXPECT_EQ(when.at(0).input.value, "S");
  EXPECT_EQ(when.at(0).values.at(0).value, "p-run-1");
}

TEST(Resolve, TheRunsLabelsWinOverThePipelines) {
  const Plan plan = plan_of(
      "apiVersion: tekton.dev/v1\nkind: Pipeline\nmetadata: {name: p, labels: {a: p, b: p}}\nspec: {tasks: "
      "[{name: "
      "t, " +
      kStep +
      "}]}\n---\napiVersion: tekton.dev/v1\nkind: PipelineRun\nmetadata: {generateName: r-, labels: "
      "{b: r, c: r}}\nspec: {pipelineRef: {name: p}}\n");
  EXPECT_EQ(plan.labels, (Labels{{"a", "p"}, {"b", "r"}, {"c", "r"}}));
}

TEST(Resolve, ChildNamesFitKubernetes) {
  const Plan plan = plan_of(pipeline("  tasks: [{name: t, " + kStep + "}]\n"));
  EXPECT_EQ(child_name(plan, 0, "run"), "run-t");
  EXPECT_EQ(child_name(plan, 0, std::string(61, 'r')), std::string(61, 'r') + "-t") << "63 fit";
  EXPECT_EQ(child_name(plan, 0, std::string(80, 'r')),
            std::string(29, 'r') + "4a1fefb56764f41552e9d4be5a26cabf-t");
  EXPECT_NE(child_name(plan, 0, std::string(80, 'r')), child_name(plan, 0, std::string(81, 'r')));
}

TEST(Resolve, EachAttemptHasAPodOfItsOwn) {
  EXPECT_EQ(pod_name("run-t", 0), "run-t-pod");
  EXPECT_EQ(pod_name("run-t", 2), "run-t-pod-retry2");
  EXPECT_EQ(pod_name(std::string(59, 'r'), 0), std::string(59, 'r') + "-pod") << "63 fit";
  EXPECT_EQ(pod_name(std::string(60, 'r'), 0).size(), 63u);
}

TEST(Resolve, AMatrixKeepsItsNumbersInLongNames) {
  const std::string task(40, 't');
  const Plan plan = plan_of(pipeline("  tasks: [{name: " + task + ", " + kStep + "}]\n"));
  const auto name = [&](size_t i) {
    return child_name(plan, 0, std::string(30, 'r'), {.in_matrix = i, .combinations = 12});
  };
  EXPECT_EQ(name(0), std::string(30, 'r') + "e65fa1c626318a236f2a10d837c100-0");
  EXPECT_TRUE(name(11).ends_with("-11")) << name(11);
  EXPECT_LE(name(11).size(), 63u);
}

TEST(Resolve, ResultsOfTheWrongShapeAreNone) {
  EXPECT_EQ(parse_result(ParamType::Array, R"(["a", 1])")->items, (std::vector<std::string>{"a", "1"}));
  EXPECT_EQ(parse_result(ParamType::Object, R"({"k": "v"})")->fields.at("k"), "v");
  for (const char* bad : {"", "x", "{}", "[[1]]", "[\"a\""})
    EXPECT_FALSE(parse_result(ParamType::Array, bad)) << bad;
  EXPECT_EQ(parse_result(ParamType::String, "a\n")->text, "a\n");
}

TEST(Resolve, ResultsThatAreNotWhatWasDeclaredAreSaidInTektonsWords) {
  const auto result = [](const char* name, ParamType type, std::vector<std::string> keys = {}) {
    ResultSpec spec;
    spec.name.value = name;
    spec.type = type;
    spec.properties = std::move(keys);
    return spec;
  };
  const std::vector<ResultSpec> declared{result("s", ParamType::String), result("l", ParamType::Array),
                                         result("o", ParamType::Object, {"a", "b", "c"})};
  EXPECT_EQ(results_problem(declared, {}), "") << "whoever wants one says that it is not there";
  EXPECT_EQ(
      results_problem(declared, {{"s", "[1"}, {"l", "[\"x\"]"}, {"o", R"({"a":"","b":"","c":"","d":""})"}}),
      "");
  EXPECT_EQ(
      results_problem(declared, {{"l", R"({"a":"1"})"}, {"o", "x"}}),
      "Provided results don't match declared results; may be invalid JSON or missing result declaration:  "
      "\"l\": task result is expected to be \"array\" type but was initialized to a different type "
      "\"object\", \"o\": task result is expected to be \"object\" type but was initialized to a different "
      "type \"string\"");
  EXPECT_EQ(results_problem(declared, {{"o", R"({"b":"1"})"}}),
            "missing keys for these results which are required in TaskResult's properties map[o:[a c]]");
}

}  // namespace
}  // namespace kiln::dag
