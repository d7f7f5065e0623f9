#include "dag/param_problems.h"

#include <gtest/gtest.h>
#include <map>

#include "dag/resolve.h"
#include "tests/unit/dag/support.h"

namespace kiln::dag {
namespace {

using testing::compile_text;
using testing::messages;
using testing::pipeline;
using testing::plan_of;

const RunContext kContext{"r", "u", "default"};

class Facts final : public RunFacts {
 public:
  std::map<std::string, ParamValue> results;  // of the first task
  const ParamValue* result(size_t task, std::string_view name) const override {
    const auto found = results.find(std::string(name));
    return task != 0 || found == results.end() ? nullptr : &found->second;
  }
  std::string_view status(size_t) const override { return "Succeeded"; }
  std::string_view reason(size_t) const override { return ""; }
  std::string_view aggregate_status() const override { return ""; }
};

// A pipeline in which `b` takes from `a` what is known only then.
std::string with_results(const std::string& task) {
  return pipeline(
      "  tasks:\n  - {name: a, taskSpec: {results: [{name: s}, {name: l, type: array}, {name: o, type: "
      "object, "
      "properties: {k: {}}}], steps: [{image: i}]}}\n  - {name: b, " +
      task + "}\n");
}

ParamProblem problem_of(const std::string& task, TaskRunIndex which = {}) {
  Facts facts;
  facts.results["s"] = ParamValue::string("Q");
  facts.results["l"] = ParamValue::array({"x", "z"});
  facts.results["o"] = ParamValue::object({{"k", "1"}});
  return resolve_task(plan_of(with_results(task)), 1, facts, kContext, which).problem;
}

Diagnostics linted(const std::string& text) {
  Documents documents;
  Diagnostics diagnostics;
  load(documents, "p.yaml", text, diagnostics);
  StoredResolver resolver;
  return lint(documents, resolver, diagnostics);
}

TEST(ParamProblems, AResultThatEnumDoesNotAllow) {
  const ParamProblem problem = problem_of(
      "params: [{name: e, value: $(tasks.a.results.s)}], taskSpec: {params: [{name: e, enum: [A, B]}], "
      "steps: "
      "[{image: i}]}");
  EXPECT_EQ(problem.reason, "InvalidParamValue");
  EXPECT_EQ(problem.message, "param `e` value: Q is not in the enum list");
}

TEST(ParamProblems, OnlyTheTaskRunOfAMatrixThatHasTheValue) {
  const std::string task =
      "matrix: {params: [{name: e, value: [A, $(tasks.a.results.s)]}]}, taskSpec: {params: [{name: e, enum: "
      "[A, "
      "B]}], steps: [{image: i}]}";
  EXPECT_EQ(problem_of(task, {.in_matrix = 0, .combinations = 2}).reason, "");
  EXPECT_EQ(problem_of(task, {.in_matrix = 1, .combinations = 2}).reason, "InvalidParamValue");
}

TEST(ParamProblems, AnObjectResultWithoutAKeyThatIsAskedFor) {
  const std::string task =
      "params: [{name: q, value: '$(tasks.a.results.o[*])'}], taskSpec: {params: [{name: q, type: object, "
      "properties: {k: {}, z: {}}";
  const ParamProblem problem = problem_of(task + "}], steps: [{image: i}]}");
  EXPECT_EQ(problem.reason, "TaskRunValidationFailed");
  EXPECT_EQ(
      problem.message,
      "invalid input params for task r-b: missing keys for these params which are required in ParamSpec's "
      "properties map[q:[z]]");
  EXPECT_EQ(problem_of(task + ", default: {z: d}}], steps: [{image: i}]}").reason, "");
}

TEST(ParamProblems, AnIndexPastTheEndOfAnArrayMadeOfResults) {
  const auto at = [](const std::string& index) {
    return problem_of(
        "params: [{name: q, value: ['$(tasks.a.results.l[*])', c]}], taskSpec: {params: [{name: q, type: "
        "array}], "
        "steps: [{image: i, script: 'echo $(params.q[" +
        index + "])'}]}");
  };
  EXPECT_EQ(at("2").reason, "");
  EXPECT_EQ(at("3").reason, "TaskRunValidationFailed");
  EXPECT_EQ(at("3").message, "non-existent param references:[$(params.q[3])]");
}

TEST(ParamProblems, AnArrayThatIsNotKnownYetMayHaveAnyLength) {
  const Compiled compiled =
      compile_text(with_results("params: [{name: q, value: ['$(tasks.a.results.l[*])']}], taskSpec: {params: "
                                "[{name: q, type: array}], steps: "
                                "[{image: i, script: 'echo $(params.q[3])'}]}"));
  EXPECT_TRUE(compiled.plan) << messages(compiled.diagnostics);
}

TEST(ParamProblems, AnArrayThatTheRunMayReplaceMayHaveAnyLength) {
  const std::string text = pipeline(
      "  params: [{name: q, type: array, default: [a]}]\n  tasks: [{name: t, params: [{name: x, value: "
      "'$(params.q[1])'}], taskSpec: {params: [{name: x}], steps: [{image: i}]}}]\n");
  EXPECT_FALSE(compile_text(text).plan);
  EXPECT_TRUE(compile_text(text, {.params = {{"q", "a,b"}}}).plan);
  EXPECT_EQ(messages(linted(text)), "");
}

TEST(ParamProblems, LintKnowsTheArraysThatARunGivesItself) {
  const auto said = [](const std::string& index) {
    return messages(linted(
        "apiVersion: tekton.dev/v1\nkind: TaskRun\nmetadata: {name: r}\nspec:\n  params: [{name: q, value: "
        "[a]}]\n  taskSpec: {params: [{name: q, type: array}], steps: [{image: i, args: ['$(params.q[" +
        index + "])']}]}\n"));
  };
  EXPECT_EQ(said("0"), "");
  EXPECT_NE(said("1").find("non-existent param references:[$(params.q[1])]"), std::string::npos);
}

}  // namespace
}  // namespace kiln::dag
