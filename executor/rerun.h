#pragma once

#include <string>
#include <string_view>

#include "executor/journal.h"
#include "executor/scheduler.h"

namespace kiln::executor {

// What of an earlier run of the same plan need not run again: each TaskRun that succeeded, unless it is one
// that is asked for, one that did not succeed, or comes after such a one. Finally tasks always run.
// `from` is a task's name, or empty for what did not succeed. Throws NotFound for a task that is not there.
Reusable reusable(const Journal& journal, const dag::Plan& plan, const RunRecord& run, std::string_view from);

}  // namespace kiln::executor
