#pragma once

#include <vector>

#include "executor/state.h"

namespace kiln::executor {

// One link of the chain of tasks that made a run as long as it was.
struct PathLink {
  size_t task = 0;    // index into Plan::tasks
  Duration waited{};  // from when it could have started to its start: for a free slot of -j
  Duration took{};    // all its attempts
};

// From the task that ended last back to one that waited for nobody: each was started when the one before it,
// the last to end of those it needs, had ended. Empty when nothing ran. To make a run shorter, make one of
// these shorter.
std::vector<PathLink> critical_path(const dag::Plan& plan, const State& state);

}  // namespace kiln::executor
