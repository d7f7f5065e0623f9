#include "executor/rerun.h"

#include "base/error.h"
#include "base/text.h"

namespace kiln::executor {
namespace {

// Tasks that succeeded without a result for want of which the run failed.
std::vector<bool> left_results_out(const dag::Plan& plan, const State& state) {
  const StateFacts facts(plan, state);
  std::vector<bool> out(plan.tasks.size(), false);
  for (size_t i = 0; i < state.tasks.size(); ++i) {
    if (state.tasks[i].phase != Phase::Skipped || state.tasks[i].reason != skip::kInvalid) continue;
    for (const dag::ResultUse& use : plan.tasks[i].uses)
      if (facts.result(use.task, use.result) == nullptr) out[use.task] = true;
  }
  if (state.reason == "CouldntGetPipelineResult")
    for (const dag::LostResult& lost : dag::lost_results(plan, facts, {}))
      for (const size_t task : lost.tasks) out[task] = true;
  return out;
}

}  // namespace

Reusable reusable(const Journal& journal, const dag::Plan& plan, const RunRecord& run,
                  std::string_view from) {
  const std::vector<Event> events = journal.events(run.id, plan);
  State state;
  for (const Event& event : events) apply(plan, state, event);

  const auto asked = plan.index.find(std::string(from));
  if (!from.empty() && asked == plan.index.end()) {
    std::vector<std::string> names;
    for (const dag::PlannedTask& task : plan.tasks) names.push_back(task.name);
    const auto near = nearest(from, names);
    throw Error(ErrorKind::NotFound, "run " + run.id + " has no task " + std::string(from),
                near ? "did you mean `" + *near + "`?" : "it has: " + join(names, ", "));
  }
  const std::vector<bool> incomplete = left_results_out(plan, state);
  // Of a matrix that is run again because some of its TaskRuns failed, the others stay as they ended.
  std::vector<bool> again(plan.tasks.size(), true), as_a_whole(plan.tasks.size(), true);
  for (size_t i = 0; i < plan.dag_size && i < state.tasks.size(); ++i) {
    as_a_whole[i] = incomplete[i] || (asked != plan.index.end() && asked->second == i);
    for (const dag::Edge& edge : plan.tasks[i].needs) as_a_whole[i] = as_a_whole[i] || again[edge.from];
    again[i] =
        as_a_whole[i] || (state.tasks[i].phase != Phase::Succeeded && state.tasks[i].phase != Phase::Skipped);
  }
  Reusable out;
  for (const Event& event : events) {
    if (event.kind != Event::Kind::TaskFinished || !event.outcome.succeeded || as_a_whole[event.task])
      continue;
    Outcome outcome = event.outcome;
    outcome.message = std::string(kReusedFrom) + run.id;
    out.insert_or_assign({event.task, event.run}, std::move(outcome));
  }
  return out;
}

}  // namespace kiln::executor
