#pragma once

#include <map>
#include <string>

#include "executor/driver.h"
#include "executor/journal.h"
#include "executor/state.h"

namespace kiln::cli {

// A run as the journal has it now.
struct StoredRun {
  executor::RunRecord record;
  dag::Plan plan;
  executor::State state;
};

// "" is the last run. Throws NotFound, or Invalid when this kiln cannot read it any more.
StoredRun load_run(const executor::Journal& journal, std::string_view id);

// The fold of what is in the journal now.
executor::State state_of(const executor::Journal& journal, const std::string& id, const dag::Plan& plan);

// The runs of pipelines inside this run, all attempts, by the label of their TaskRun.
std::multimap<std::string, executor::RunRecord> children_of(const executor::Journal& journal,
                                                            const std::string& id);

// Calls visit(index, run, label) for each TaskRun of a run.
template <class Visit>
void for_each_task_run(const dag::Plan& plan, const executor::State& state, Visit visit) {
  for (size_t i = 0; i < plan.tasks.size(); ++i) {
    const bool fanned_out = i < state.tasks.size() && !state.tasks[i].runs.empty();
    const size_t runs = fanned_out ? state.tasks[i].runs.size() : 1;
    for (size_t k = 0; k < runs; ++k) visit(i, k, executor::task_run_label(plan.tasks[i], k, runs));
  }
}

}  // namespace kiln::cli
