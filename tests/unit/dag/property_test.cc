// Random pipelines, and what must hold of their Plans whatever they are. KILN_SEEDS sets how many.
#include <algorithm>
#include <gtest/gtest.h>

#include "base/text.h"
#include "dag/graph.h"
#include "tests/unit/dag/plan_summary.h"
#include "tests/unit/dag/random_pipeline.h"
#include "tests/unit/dag/support.h"

namespace kiln::dag {
namespace {

using testing::RandomPipeline;
using Needs = std::map<std::string, std::set<RandomPipeline::Reason>>;

void for_each_seed(const std::function<void(unsigned)>& check) {
  for (unsigned seed = 0; seed < testing::seeds(300); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    check(seed);
    if (::testing::Test::HasFailure()) break;
  }
}

Needs needs_of(const Plan& plan, const PlannedTask& task) {
  Needs out;
  for (const Edge& edge : task.needs)
    for (const EdgeReason& reason : edge.reasons)
      EXPECT_TRUE(out[plan.tasks[edge.from].name].insert({reason.kind, reason.detail}).second)
          << "a reason is given once";
  return out;
}

std::string text_of(const Plan& plan) {
  return testing::summary(plan) + graph(plan, "json");
}

TEST(PlanProperty, EveryEdgeIsInTheTextAndEveryReasonInTheTextIsAnEdge) {
  for_each_seed([](unsigned seed) {
    const RandomPipeline random(seed);
    const Plan plan = testing::plan_of(random.text(seed));
    ASSERT_EQ(plan.tasks.size(), random.tasks().size());
    for (const PlannedTask& task : plan.tasks) {
      const RandomPipeline::Task& expected = random.task(task.name);
      EXPECT_EQ(needs_of(plan, task), expected.needs) << task.name;
      EXPECT_EQ(task.is_finally, expected.is_finally);
      EXPECT_EQ(task.retries, expected.retries);
      EXPECT_EQ(task.matrix.has_value(), expected.has_matrix);
    }
  });
}

TEST(PlanProperty, NoTaskStandsBeforeOneItNeedsAndFinallyTasksStandLast) {
  for_each_seed([](unsigned seed) {
    const Plan plan = testing::plan_of(RandomPipeline(seed).text(seed));
    std::vector<std::vector<size_t>> dependents(plan.tasks.size());
    for (size_t i = 0; i < plan.tasks.size(); ++i) {
      EXPECT_EQ(plan.tasks[i].is_finally, i >= plan.dag_size);
      EXPECT_EQ(plan.index.at(plan.tasks[i].name), i);
      for (const Edge& edge : plan.tasks[i].needs) {
        EXPECT_LT(edge.from, std::min(i, plan.dag_size));
        EXPECT_FALSE(edge.reasons.empty());
        if (i < plan.dag_size) dependents[edge.from].push_back(i);
      }
      for (const ResultUse& use : plan.tasks[i].uses)
        EXPECT_TRUE(std::ranges::any_of(plan.tasks[i].needs, [&](const Edge& e) {
          return e.from == use.task;
        })) << "whoever reads a result waits for it";
    }
    for (size_t i = 0; i < plan.tasks.size(); ++i) EXPECT_EQ(plan.tasks[i].dependents, dependents[i]);
  });
}

TEST(PlanProperty, APlanRecompilesToItself) {
  for_each_seed([](unsigned seed) {
    const Plan plan = testing::plan_of(RandomPipeline(seed).text(seed));
    const Compiled again = recompile(plan.sources, plan.remote, plan.request);
    ASSERT_TRUE(again.plan);
    EXPECT_EQ(text_of(*again.plan), text_of(plan));
    EXPECT_EQ(again.plan->sources, plan.sources);
    for (size_t i = 0; i < plan.tasks.size(); ++i) EXPECT_EQ(again.plan->tasks[i].at, plan.tasks[i].at);
  });
}

TEST(PlanProperty, TheOrderOfDocumentsDoesNotMatter) {
  for_each_seed([](unsigned seed) {
    const RandomPipeline random(seed);
    EXPECT_EQ(text_of(testing::plan_of(random.text(seed))), text_of(testing::plan_of(random.text(seed + 1))));
  });
}

// The tasks that one cannot start without, itself included.
std::set<std::string> ancestors(const RandomPipeline& random, const std::string& name) {
  std::set<std::string> out{name};
  for (const auto& [from, reasons] : random.task(name).needs) out.merge(ancestors(random, from));
  return out;
}

TEST(PlanProperty, AnEdgeBackGivesOneCycleAndTheCycleShownIsOne) {
  for_each_seed([](unsigned seed) {
    const RandomPipeline random(seed);
    std::mt19937 choice(seed);
    std::vector<std::pair<std::string, std::string>> possible;  // who shall wait, for whom
    for (const RandomPipeline::Task& task : random.tasks())
      if (!task.is_finally && task.needs.size() < 6)
        for (const std::string& above : ancestors(random, task.name))
          if (above != task.name) possible.emplace_back(above, task.name);
    if (possible.empty()) return;
    const auto& [waiting, for_whom] = possible[choice() % possible.size()];
    const Compiled compiled = testing::compile_text(random.text(seed, {{waiting, for_whom}}));
    EXPECT_FALSE(compiled.plan);
    ASSERT_EQ(compiled.diagnostics.size(), 1u) << testing::messages(compiled.diagnostics);
    const Diagnostic& said = compiled.diagnostics[0];
    EXPECT_TRUE(said.message.starts_with("cycle detected; task \"")) << said.message;
    const size_t colon = said.hint.find("): ");
    ASSERT_NE(colon, std::string::npos) << said.hint;
    const std::vector<std::string> cycle = split(replace_all(said.hint.substr(colon + 3), " → ", "\n"), '\n');
    ASSERT_GE(cycle.size(), 3u) << said.hint;
    EXPECT_EQ(cycle.front(), cycle.back());
    EXPECT_EQ(std::set<std::string>(cycle.begin(), cycle.end()).size(), cycle.size() - 1) << "each once";
    for (size_t i = 0; i + 1 < cycle.size(); ++i)
      EXPECT_TRUE(random.task(cycle[i]).needs.contains(cycle[i + 1]) ||
                  (cycle[i] == waiting && cycle[i + 1] == for_whom))
          << cycle[i] << " does not wait for " << cycle[i + 1];
  });
}

}  // namespace
}  // namespace kiln::dag
