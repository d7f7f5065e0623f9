#include <gtest/gtest.h>

#include "dag/graph.h"
#include "dag/resolve.h"
#include "tests/unit/dag/support.h"

// Long lists: each test takes milliseconds, and minutes where the work grows with the square of the list.
namespace kiln::dag {
namespace {

using namespace testing;

constexpr int kMany = 20'000;

template <class Item>
std::string list(Item item, int n = kMany) {
  std::string out;
  for (int i = 0; i < n; ++i) out += std::string(item(std::to_string(i))) + "\n";
  return out;
}

std::string task(const std::string& spec) {
  return "apiVersion: tekton.dev/v1\nkind: Task\nmetadata: {name: t}\nspec:\n" + spec;
}

Diagnostics lint_text(const std::string& text) {
  Documents documents;
  Diagnostics found;
  load(documents, "p.yaml", text, found);
  StoredResolver resolver;
  return lint(documents, resolver, std::move(found));
}

const std::string kSteps = "  steps: [{name: s, image: i, script: 'true'}]\n";
const auto kParam = [](const std::string& i) { return "  - {name: p" + i + ", default: d}"; };

TEST(Scale, ATaskWithManyParams) {
  const Plan plan = plan_of(task("  params:\n" + list(kParam) + kSteps));
  EXPECT_EQ(resolve_task(plan, 0, no_facts(), {"r", "u", "n"}).params.size(), size_t{kMany});
}

TEST(Scale, ManyUnknownParamsInOneScriptAmongManyDeclared) {
  const std::string script = list([](const std::string& i) { return "      $(params.zz" + i + ")"; });
  const Diagnostics found =
      lint_text(task("  params:\n" + list(kParam) + "  steps:\n  - image: i\n    script: |\n" + script));
  ASSERT_EQ(found.size(), size_t{kMany});
  EXPECT_EQ(found.back().at,
            found.front().at.line > 0 ? (Position{found.front().at.line + kMany - 1, 7}) : Position{});
}

TEST(Scale, ManyDiagnosticsAreShownInPart) {
  const std::string text = task(list([](const std::string& i) { return "  zz" + i + ": 1"; }) + kSteps);
  const std::string shown = render(lint_text(text), {{"p.yaml", text}});
  EXPECT_NE(shown.find("… and 19000 more"), std::string::npos);
}

TEST(Scale, ManyKeysOfAnObjectEachUsed) {
  const std::string keys = list([](const std::string& i) { return "      k" + i + ": {type: string}"; });
  const std::string uses = list([](const std::string& i) { return "    - $(params.o.k" + i + ")"; });
  EXPECT_TRUE(lint_text(task("  params:\n  - name: o\n    type: object\n    properties:\n" + keys +
                             "  steps:\n  - image: i\n    args:\n" + uses))
                  .empty());
}

TEST(Scale, ManyResultsOfOneTaskReadByAnother) {
  const std::string results = list([](const std::string& i) { return "      - {name: r" + i + "}"; });
  const std::string uses = list([](const std::string& i) { return "      - $(tasks.a.results.r" + i + ")"; });
  const Plan plan = plan_of(pipeline("  tasks:\n  - name: a\n    taskSpec:\n      results:\n" + results +
                                     "      steps: [{image: i, script: x}]\n  - name: b\n    " + kStep +
                                     "\n    params:\n    - name: x\n      value:\n" + uses));
  EXPECT_EQ(plan.tasks[1].uses.size(), size_t{kMany});
}

TEST(Scale, ManyWorkspacesSharedByTwoTasks) {
  const auto named = [](const std::string& i) { return "    - {name: w" + i + "}"; };
  const auto declared = [](const std::string& i) { return "      - {name: w" + i + "}"; };
  const auto one = [&](const std::string& start) {
    return "  - " + start + "\n    taskSpec:\n      steps: [{image: i, script: x}]\n      workspaces:\n" +
           list(declared) + "    workspaces:\n" + list(named);
  };
  const Plan plan = plan_of(pipeline("  workspaces:\n" + list(named) + "  tasks:\n" + one("name: a") +
                                     one("name: b\n    runAfter: [a]")));
  EXPECT_EQ(plan.tasks[1].needs[0].reasons.size(), size_t{kMany} + 1);
}

TEST(Scale, ManyTasksInAPipelineWithManyParams) {
  const Plan plan = plan_of(
      pipeline("  params:\n" + list(kParam, 5000) + "  tasks:\n" +
               list([](const std::string& i) { return "  - {name: a" + i + ", " + kStep + "}"; }, 5000)));
  EXPECT_EQ(plan.tasks.size(), 5000u);
}

TEST(Scale, ManyTasksBeforeOne) {
  const std::string tasks =
      list([](const std::string& i) { return "  - {name: a" + i + ", " + kStep + "}"; });
  const std::string names = list([](const std::string& i) { return "    - a" + i; });
  const Plan plan =
      plan_of(pipeline("  tasks:\n" + tasks + "  - name: b\n    " + kStep + "\n    runAfter:\n" + names));
  EXPECT_EQ(plan.tasks.back().needs.size(), size_t{kMany});
}

TEST(Scale, ManyVolumesOfOneName) {
  EXPECT_EQ(lint_text(task("  volumes:\n" +
                           list([](const std::string&) { return "  - {name: v, emptyDir: {}}"; }) + kSteps))
                .size(),
            size_t{kMany} - 1);
}

TEST(Scale, AMatrixOfManyParams) {
  const Plan plan =
      plan_of(pipeline("  tasks:\n  - name: a\n    " + kStep + "\n    matrix:\n      params:\n" +
                       list([](const std::string& i) { return "      - {name: p" + i + ", value: [a]}"; })));
  EXPECT_EQ(resolve_matrix(plan, 0, no_facts(), {"r", "u", "n"}).size(), 1u);
}

// What a small file can blow up is refused instead.
TEST(Scale, PipelinesThatDoubleAtEachLevelAreRefused) {
  std::string text;
  for (int i = 0; i < 28; ++i) {
    const std::string inner = "{name: p" + std::to_string(i + 1) + "}";
    text += "apiVersion: tekton.dev/v1\nkind: Pipeline\nmetadata: {name: p" + std::to_string(i) +
            "}\nspec: {tasks: [{name: a, pipelineRef: " + inner + "}, {name: b, pipelineRef: " + inner +
            "}]}\n---\n";
  }
  text += "apiVersion: tekton.dev/v1\nkind: Pipeline\nmetadata: {name: p28}\nspec: {tasks: [{name: a, " +
          kStep + "}]}\n";
  EXPECT_NE(messages(lint_text(text)).find("more than Kiln checks in one go"), std::string::npos);
}

TEST(Scale, ManyFinallyTasksAfterManyLeavesAreRefused) {
  const auto item = [](const std::string& name) {
    return [name](const std::string& i) { return "  - {name: " + name + i + ", " + kStep + "}"; };
  };
  const Compiled compiled =
      compile_text(pipeline("  tasks:\n" + list(item("a"), 5000) + "  finally:\n" + list(item("f"), 5000)));
  EXPECT_NE(messages(compiled.diagnostics).find("more than Kiln checks in one go"), std::string::npos);
}

TEST(Scale, DefaultsMadeOfEachOtherAreRefused) {
  std::string params = "  - {name: p0, default: '" + std::string(1000, 'x') + "'}\n";
  for (int i = 1; i < 10; ++i) {
    const std::string before = "$(params.p" + std::to_string(i - 1) + ")";
    std::string value;
    for (int k = 0; k < 10; ++k) value += before;
    params += "  - {name: p" + std::to_string(i) + ", default: '" + value + "'}\n";
  }
  EXPECT_NE(messages(lint_text(task("  params:\n" + params + kSteps))).find("more than 64 MiB"),
            std::string::npos);
}

TEST(Scale, AChainOfPipelinesIsRefusedWhenItIsTooDeep) {
  std::string text;
  for (int i = 0; i < 2000; ++i)
    text += "apiVersion: tekton.dev/v1\nkind: Pipeline\nmetadata: {name: p" + std::to_string(i) +
            "}\nspec: {tasks: [{name: a, pipelineRef: {name: p" + std::to_string(i + 1) + "}}]}\n---\n";
  EXPECT_NE(messages(lint_text(text)).find("nested more than"), std::string::npos);
}

}  // namespace
}  // namespace kiln::dag
