#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/dirs.h"
#include "dag/outcomes.h"
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

// The runs of pipelines inside this run, all attempts, by the label of their TaskRun.
std::multimap<std::string, executor::RunRecord> children_of(const executor::Journal& journal,
                                                            const std::string& id);

// The last attempt of the pipeline that `label` is, among children_of(); null when there is none.
const executor::RunRecord* newest_child(const std::multimap<std::string, executor::RunRecord>& children,
                                        const std::string& label);

// What became of each TaskRun, in the Plan's order, also in pipelines inside it. Its state is the word of its
// phase, or Cached when it was taken from another run; a phase that has not ended took no time yet.
std::vector<dag::TaskOutcome> task_outcomes(const executor::Journal& journal, const StoredRun& run);

// Ends in the journal the runs whose kiln was killed, and tells `note` of each.
void note_lost_runs(executor::Journal& journal, const Dirs& dirs,
                    const std::function<void(const std::string&)>& note);

// Calls visit(index, run, label) for each TaskRun of a run.
template <class Visit>
void for_each_task_run(const dag::Plan& plan, const executor::State& state, Visit visit) {
  for (size_t i = 0; i < plan.tasks.size(); ++i) {
    const bool fanned_out = i < state.tasks.size() && !state.tasks[i].runs.empty();
    const size_t runs = fanned_out ? state.tasks[i].runs.size() : 1;
    for (size_t k = 0; k < runs; ++k) visit(i, k, executor::task_run_label(plan.tasks[i], k, runs));
  }
}

// Before a verb that shows or ends stored runs: the same, said on stderr. Where nothing can be written (a
// folder that is read-only, or another's) runs stay as they are.
void close_lost_runs(executor::Journal& journal, const Dirs& dirs);

}  // namespace kiln::cli
