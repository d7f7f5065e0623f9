#include "cli/stored_run.h"

namespace kiln::cli {

executor::State state_of(const executor::Journal& journal, const std::string& id, const dag::Plan& plan) {
  executor::State state;
  for (const executor::Event& event : journal.events(id, plan)) executor::apply(plan, state, event);
  return state;
}

StoredRun load_run(const executor::Journal& journal, std::string_view id) {
  StoredRun out{journal.find(id), {}, {}};
  out.plan = journal.plan(out.record.id);
  out.state = state_of(journal, out.record.id, out.plan);
  return out;
}

std::multimap<std::string, executor::RunRecord> children_of(const executor::Journal& journal,
                                                            const std::string& id) {
  std::multimap<std::string, executor::RunRecord> out;
  std::vector<executor::RunRecord> children = journal.children(id);
  if (children.empty()) return out;
  const StoredRun run = load_run(journal, id);
  for_each_task_run(run.plan, run.state, [&](size_t i, size_t k, const std::string& label) {
    if (run.plan.tasks[i].kind != dag::PlannedTask::Kind::Pipeline || i >= run.state.tasks.size()) return;
    dag::TaskRunIndex which = executor::index_of(run.state, {i, k});
    for (; which.attempt >= 0; --which.attempt) {  // the last one first
      const std::string name = executor::nested_run_name(run.plan, i, id, which);
      for (const executor::RunRecord& child : children)
        if (child.id == name) out.emplace(label, child);
    }
  });
  return out;
}

}  // namespace kiln::cli
