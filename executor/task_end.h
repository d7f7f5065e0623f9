#pragma once

#include "executor/state.h"

// What the end of a pipeline task's runs comes to. Inside of fold.cc.
namespace kiln::executor {

// Of a matrix that has fanned out; false while one of its runs goes on. The first to fail speaks for all.
bool gather(TaskState& task);

// It failed and onError says that it may.
void ignore_failure(const dag::PlannedTask& planned, TaskState& task);

// Task `i` has ended: see TaskState::defaults.
void take_defaults(const dag::Plan& plan, size_t i, TaskState& task);

}  // namespace kiln::executor
