#include "cli/stored_run.h"

#include "base/clock.h"
#include "base/error.h"
#include "cli/terminal.h"
#include "executor/run_lock.h"

namespace kiln::cli {

StoredRun load_run(const executor::Journal& journal, std::string_view id) {
  StoredRun out{journal.find(id), {}, {}};
  out.plan = journal.plan(out.record.id);
  out.state = executor::replay(journal, out.record.id, out.plan);
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
      const std::string name = executor::attempt_name(run.plan, i, id, which);
      for (const executor::RunRecord& child : children)
        if (child.id == name) out.emplace(label, child);
    }
  });
  return out;
}

const executor::RunRecord* newest_child(const std::multimap<std::string, executor::RunRecord>& children,
                                        const std::string& label) {
  const auto child = children.lower_bound(label);
  return child != children.end() && child->first == label ? &child->second : nullptr;
}

std::vector<dag::TaskOutcome> task_outcomes(const executor::Journal& journal, const StoredRun& run) {
  std::vector<dag::TaskOutcome> out;
  const auto children = children_of(journal, run.record.id);
  for_each_task_run(run.plan, run.state, [&](size_t i, size_t k, const std::string& label) {
    if (i >= run.state.tasks.size()) return;
    const executor::TaskRunState& task = run.state.tasks[i].run(k);
    dag::TaskOutcome one{.task = run.plan.tasks[i].name,
                         .label = label,
                         .state = std::string(to_string(task.phase)),
                         .reason = task.reason,
                         .took = {},
                         .inside = {}};
    if (task.phase == executor::Phase::Succeeded && task.message.starts_with(executor::kReusedFrom))
      one.state = "Cached";
    if (task.finished > task.started && task.started > Time{}) one.took = task.finished - task.started;
    if (const executor::RunRecord* child = newest_child(children, label))
      one.inside = task_outcomes(journal, load_run(journal, child->id));
    out.push_back(std::move(one));
  });
  return out;
}

void note_lost_runs(executor::Journal& journal, const Dirs& dirs,
                    const std::function<void(const std::string&)>& note) {
  for (const auto& lost : executor::close_lost_runs(journal, dirs.runs(), system_clock().now()))
    note("run " + lost.id + " was cut off earlier: " + lost.message);
}

void close_lost_runs(executor::Journal& journal, const Dirs& dirs) {
  try {
    note_lost_runs(journal, dirs, [](const std::string& text) { say("note: " + text); });
  } catch (const Error&) {  // who may only look sees them as they are
  }
}

}  // namespace kiln::cli
