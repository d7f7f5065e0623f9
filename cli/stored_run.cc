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

std::map<std::string, executor::RunRecord> children_of(const executor::Journal& journal,
                                                       const std::string& id) {
  std::map<std::string, executor::RunRecord> out;
  for (executor::RunRecord& child : journal.children(id)) out.emplace(child.id, std::move(child));
  return out;
}

}  // namespace kiln::cli
