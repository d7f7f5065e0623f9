#include "dag/matrix.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/text.h"
#include "dag/resolve.h"
#include "dag/substitution.h"
#include "tests/unit/dag/support.h"

namespace kiln::dag {
namespace {

using testing::compile_text;
using testing::messages;
using testing::pipeline;
using testing::plan_of;

const RunContext kContext{"r", "u", "default"};

// "a=1 b=x" for each combination.
std::vector<std::string> shown(const std::vector<std::vector<Param>>& all) {
  std::vector<std::string> out;
  for (const auto& params : all) {
    std::vector<std::string> words;
    for (const Param& param : params) words.push_back(param.name.value + "=" + param.value.text);
    out.push_back(join(words, " "));
  }
  return out;
}

Param list(const std::string& name, std::vector<std::string> items) {
  return {{name, {}}, ParamValue::array(std::move(items)), {}};
}
Param text(const std::string& name, const std::string& value) {
  return {{name, {}}, ParamValue::string(value), {}};
}

class Facts final : public RunFacts {
 public:
  std::map<std::string, ParamValue> results;
  std::optional<size_t> length;
  const ParamValue* result(size_t, std::string_view name) const override {
    const auto found = results.find(std::string(name));
    return found == results.end() ? nullptr : &found->second;
  }
  std::string_view status(size_t) const override { return "Succeeded"; }
  std::string_view reason(size_t) const override { return "Succeeded"; }
  std::string_view aggregate_status() const override { return "Succeeded"; }
  std::optional<size_t> matrix_length(size_t) const override { return length; }
};

TEST(Matrix, TheFirstParamVariesFastest) {
  const Matrix matrix{.params = {list("b", {"1", "2"}), list("a", {"x", "y"})}};
  EXPECT_EQ(shown(combinations(matrix)),
            (std::vector<std::string>{"a=x b=1", "a=x b=2", "a=y b=1", "a=y b=2"}));
  EXPECT_EQ(count_combinations(matrix), 4u);
}

TEST(Matrix, IncludeAddsToWhatItAgreesWithAndElseIsNew) {
  Matrix matrix{.params = {list("os", {"linux", "mac"}), list("v", {"1", "2"})}};
  matrix.include.push_back({.params = {text("os", "linux"), text("flags", "-O3")}});
  matrix.include.push_back({.params = {text("common", "yes")}});
  matrix.include.push_back({.params = {text("os", "bsd"), text("v", "3")}});
  EXPECT_EQ(
      shown(combinations(matrix)),
      (std::vector<std::string>{"common=yes flags=-O3 os=linux v=1", "common=yes os=mac v=1",
                                "common=yes flags=-O3 os=linux v=2", "common=yes os=mac v=2", "os=bsd v=3"}));
  EXPECT_EQ(count_combinations(matrix), 5u);
}

TEST(Matrix, IncludeAloneIsTheCombinations) {
  Matrix matrix;
  matrix.include.push_back({.params = {text("a", "1")}});
  matrix.include.push_back({.params = {text("b", "2")}});
  EXPECT_EQ(shown(combinations(matrix)), (std::vector<std::string>{"a=1", "b=2"}));
}

TEST(Matrix, AnEmptyArrayMakesNone) {
  const Matrix matrix{.params = {list("a", {}), list("b", {"1"})}, .include = {{.params = {text("c", "1")}}}};
  EXPECT_TRUE(combinations(matrix).empty());
  EXPECT_EQ(count_combinations(matrix), 0u);
}

TEST(Matrix, CountingNeverMakesThem) {
  Matrix matrix;
  for (int i = 0; i < 40; ++i)
    matrix.params.push_back(list("p" + std::to_string(i), std::vector<std::string>(100, "x")));
  EXPECT_GT(count_combinations(matrix).value_or(0), kMostCombinations);
}

const std::string kFanOut =
    "  params: [{name: os, type: array, default: [linux, mac]}]\n"
    "  tasks:\n"
    "    - name: list\n"
    "      taskSpec: {results: [{name: all, type: array}], steps: [{image: i, script: x}]}\n"
    "    - name: build\n"
    "      displayName: build $(params.x)\n"
    "      matrix: {params: [{name: os, value: \"$(params.os[*])\"}, {name: x, value: "
    "\"$(tasks.list.results.all[*])\"}]}\n"
    "      taskSpec:\n"
    "        params: [{name: os}, {name: x}]\n"
    "        results: [{name: digest}]\n"
    "        steps: [{image: i, script: \"$(params.os) $(params.x) $(context.taskRun.name)\"}]\n"
    "    - name: after\n"
    "      params: [{name: d, value: \"$(tasks.build.results.digest[*])\"}, {name: 'n', value: "
    "$(tasks.build.matrix.length)}, {name: m, value: $(tasks.build.matrix.digest.length)}]\n"
    "      taskSpec:\n"
    "        params: [{name: d, type: array}, {name: 'n'}, {name: m}]\n"
    "        steps: [{image: i, args: [\"$(params.n)\", \"$(params.m)\", \"$(params.d[*])\"]}]\n";

TEST(Matrix, FansOutOverParamsAndResults) {
  const Plan plan = plan_of(pipeline(kFanOut));
  ASSERT_EQ(plan.tasks.size(), 3u);
  ASSERT_EQ(plan.tasks[1].needs.size(), 1u);
  EXPECT_EQ(plan.tasks[1].needs[0].reasons[0].detail, "all");
  Facts facts;
  facts.results["all"] = ParamValue::array({"1", "2"});
  EXPECT_EQ(shown(resolve_matrix(plan, 1, facts, kContext)),
            (std::vector<std::string>{"os=linux x=1", "os=mac x=1", "os=linux x=2", "os=mac x=2"}));
  const ResolvedTask third = resolve_task(plan, 1, facts, kContext, {.in_matrix = 2});
  EXPECT_EQ(third.spec.steps[0].script.value, "linux 2 r-build-2");
  EXPECT_EQ(third.display_name, "build 2");
  EXPECT_EQ(child_name(plan, 1, "r", {.in_matrix = 2, .combinations = 4}), "r-build-2");
  EXPECT_EQ(child_name(plan, 1, "r", {.in_matrix = 0, .combinations = 1}), "r-build") << "one is no fan-out";
}

TEST(Matrix, FansInWithLengths) {
  const Plan plan = plan_of(pipeline(kFanOut));
  Facts facts;
  facts.results["digest"] = ParamValue::array({"a", "b", "c"});
  facts.length = 4;
  EXPECT_EQ(check_ready(plan, 2, facts, kContext).kind, Readiness::Kind::Ready);
  const ResolvedTask after = resolve_task(plan, 2, facts, kContext);
  std::vector<std::string> args(after.spec.steps[0].args.begin(), after.spec.steps[0].args.end());
  EXPECT_EQ(join(args, " "), "4 3 a b c");
}

TEST(Matrix, IsSkippedWhenEmptyAndInvalidWhenNotAnArray) {
  const Plan plan = plan_of(pipeline(kFanOut));
  Facts facts;
  facts.results["all"] = ParamValue::array({});
  EXPECT_EQ(check_ready(plan, 1, facts, kContext).kind, Readiness::Kind::EmptyMatrix);
  facts.results["all"] = ParamValue::string("one");
  const Readiness readiness = check_ready(plan, 1, facts, kContext);
  EXPECT_EQ(readiness.kind, Readiness::Kind::Invalid);
  EXPECT_EQ(readiness.reason, "InvalidMatrixParameterTypes");
  facts.results["all"] = ParamValue::array(std::vector<std::string>(129, "x"));
  EXPECT_EQ(check_ready(plan, 1, facts, kContext).message,
            "Failed to validate matrix \"" + kContext.run_name +
                "\" with error expected 0 <= 258 <= 256: matrix of \"build\"");
}

TEST(Matrix, OnlyAWholeListIsTakenFromIt) {
  const Compiled compiled = compile_text(
      pipeline("  tasks:\n"
               "    - name: a\n"
               "      matrix: {params: [{name: x, value: [\"1\"]}]}\n"
               "      taskSpec: {params: [{name: x}], results: [{name: r}], steps: [{image: i, script: x}]}\n"
               "    - name: b\n"
               "      params: [{name: r, value: $(tasks.a.results.r)}]\n"
               "      taskSpec: {params: [{name: r}], steps: [{image: i, script: x}]}\n"));
  EXPECT_NE(
      messages(compiled.diagnostics)
          .find("p.yaml:10:33: error: A matrixed pipelineTask can only be consumed in aggregate using [*] "
                "notation, but is currently set to tasks.a.results.r\n  hint: write $(tasks.a.results.r[*])"),
      std::string::npos)
      << messages(compiled.diagnostics);
}

TEST(Matrix, ATaskRunIsCalledWhatItsIncludesSay) {
  const Plan plan = plan_of(pipeline(
      "  tasks:\n  - name: a\n    displayName: plain\n    matrix:\n      params: [{name: l, value: [p, q]}]\n"
      "      include:\n      - {name: inc-$(params.l), params: [{name: l, value: q}, {name: note, value: "
      "hey}]}\n"
      "      - {name: lone, params: [{name: l, value: zz}, {name: note, value: lone}]}\n"
      "    taskSpec: {params: [{name: l}, {name: note, default: none}], steps: [{image: i}]}\n"));
  const auto name = [&](size_t which) {
    return resolve_task(plan, 0, no_facts(), kContext, {.in_matrix = which, .combinations = 3}).display_name;
  };
  EXPECT_EQ(name(0), "plain");
  EXPECT_EQ(name(1), "inc-q");
  EXPECT_EQ(name(2), "lone");
}

}  // namespace
}  // namespace kiln::dag
