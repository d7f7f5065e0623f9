#pragma once

#include <mutex>
#include <stop_token>

#include "base/error.h"
#include "base/secret_mask.h"
#include "executor/cached_pod.h"
#include "executor/driver.h"
#include "executor/pod_spec.h"

// What a worker does for one attempt of a TaskRun. Used by live_run_jobs.cc and replayed_pod.cc only.
namespace kiln::executor {

// Makes the folders and files that a pod is given. Throws Invalid for a path that leads where it must not.
void prepare_pod(const PodRequest& request);

// What a run's pods have alike.
struct PodWork {
  PodRunner& pods;
  const Clock& clock;
  RunObserver& observer;
  std::mutex& observing;
  const SecretMask& secrets;
  const TaskCache& cache;
  std::string run;               // its name
  std::filesystem::path places;  // runs/<id>: logs/ and cache/ are below
};

// Runs a pod with its folders made and its output logged, without `secrets`, unless the cache has what it
// would leave; the pod's folder is gone afterwards.
Outcome run_pod(const PodWork& work, const PodRequest& request, const RunningTask& task,
                std::stop_source& stop);

// What an exception on the way to a pod, or out of one, comes to.
Outcome outcome_of(const Error& error);

}  // namespace kiln::executor
