#pragma once

#include <filesystem>
#include <functional>
#include <stop_token>
#include <string_view>

#include "executor/pod_runner.h"
#include "executor/pod_spec.h"
#include "executor/task_cache.h"

namespace kiln::executor {

// With `kiln.dev/cache: inputs`: says so in the request, and what decides beside the pod itself.
void ask_for_cache(PodRequest& request, const dag::Plan& plan, const dag::PlannedTask& task,
                   const dag::ResolvedTask& resolved, dag::TaskRunIndex which);

// What became of a task as the cache saw it: one line each, "CACHED run" or why it ran.
struct CacheReport {
  bool cached = false;
  std::vector<std::string> reasons;
};
// Throws NotFound when the task was not asked to be cached, or has not begun.
CacheReport read_cache_report(const std::filesystem::path& file);

// The outcome that the cache has for this request (the pod's folders are then as after it), else what `run`
// returns, which is kept when it succeeded. `say` takes a line for the log; `report` is the file to write.
// Nothing that the cache cannot do keeps the task from running.
Outcome run_cached(const TaskCache& cache, PodRunner& pods, const PodRequest& request,
                   std::string_view run_name, const std::filesystem::path& report,
                   const std::function<void(const std::string&)>& say, const std::function<Outcome()>& run,
                   std::stop_token stop);

}  // namespace kiln::executor
