#include "executor/rerun.h"

#include "base/error.h"
#include "base/text.h"

namespace kiln::executor {

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
  std::vector<bool> again(plan.tasks.size(), true);
  for (size_t i = 0; i < plan.dag_size && i < state.tasks.size(); ++i) {
    again[i] = state.tasks[i].phase != Phase::Succeeded && state.tasks[i].phase != Phase::Skipped;
    if (asked != plan.index.end() && asked->second == i) again[i] = true;
    for (const dag::Edge& edge : plan.tasks[i].needs) again[i] = again[i] || again[edge.from];
  }
  Reusable out;
  for (const Event& event : events) {
    if (event.kind != Event::Kind::TaskFinished || !event.outcome.succeeded || again[event.task]) continue;
    Outcome outcome = event.outcome;
    outcome.message = std::string(kReusedFrom) + run.id;
    out.insert_or_assign({event.task, event.run}, std::move(outcome));
  }
  return out;
}

}  // namespace kiln::executor
