#pragma once

#include <mutex>
#include <stop_token>

#include "base/error.h"
#include "base/secret_mask.h"
#include "executor/driver.h"
#include "executor/pod_spec.h"

// What a worker does for one attempt of a TaskRun. Used by live_run.cc and replayed_pod.cc only.
namespace kiln::executor {

// Makes the folders and files that a pod is given. Throws Invalid for a path that leads where it must not.
void prepare_pod(const PodRequest& request);

// Runs a pod with its folders made and its output logged, without `secrets`; the pod's folder is gone
// afterwards.
Outcome run_pod(PodRunner& pods, const PodRequest& request, const std::filesystem::path& logs,
                const RunningTask& task, RunObserver& observer, std::mutex& observing, std::stop_source& stop,
                const SecretMask& secrets, const Clock& clock);

// What an exception on the way to a pod, or out of one, comes to.
Outcome outcome_of(const Error& error);

}  // namespace kiln::executor
