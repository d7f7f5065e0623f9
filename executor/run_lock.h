#pragma once

#include <filesystem>
#include <vector>

#include "base/unique_fd.h"
#include "executor/journal.h"

// Which runs a living process carries on, and what becomes of the others.
namespace kiln::executor {

// Held as long as a process carries the run in `folder` (runs/<id>) on; the kernel frees it however that
// ends. Invalid when another process holds it.
UniqueFd try_lock_run(const std::filesystem::path& folder);

// Removes what the pods of a kiln that died left in `folder` (runs/<id>): their folders, which hold
// credentials, and the files made of Secrets. Its lock has to be held.
void forget_pods(const std::filesystem::path& folder);

// Runs of a terminal whose kiln died (their lock is free) get a RunFinished that says so and how to go on,
// and their pods are forgotten. Returns them. To be called when kiln starts. `runs` is Dirs::runs().
std::vector<RunRecord> close_lost_runs(Journal& journal, const std::filesystem::path& runs, Time now);

}  // namespace kiln::executor
