#pragma once

#include <random>
#include <string>
#include <vector>

namespace kiln::executor::testing {

// A task of a random pipeline, as plainly as it can be said; numbers are places in RandomPlan::tasks.
struct RandomTask {
  std::vector<size_t> after;  // runAfter
  std::vector<size_t> uses;   // whose result r it takes for a param
  std::vector<size_t> when;   // at most one: whose result r has to be "1"; of a finally task: whose status
  bool divides = false;       // it asks for that by dividing by it
  size_t combinations = 0;    // of its matrix; 0: none
  int retries = 0;
  bool ignore = false;  // onError: continue
  bool fail_fast = false;
  bool has_default = false;  // of its result r
  bool has_timeout = false;  // 30 s
  bool is_finally = false;
};

// tasks: the DAG's in topological order, then the finally tasks.
struct RandomPlan {
  std::vector<RandomTask> tasks;
  std::string spec, run_spec, annotations;  // as plan_of() takes them
};

RandomPlan random_plan(std::mt19937& random);

}  // namespace kiln::executor::testing
