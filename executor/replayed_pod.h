#pragma once

#include "executor/driver.h"
#include "executor/pod_spec.h"
#include "executor/private_folder.h"

namespace kiln::executor {

// The pod of a TaskRun that has run, made again from the journal to look into it: same images, variables,
// workspaces, volumes and credentials. What its steps left in /tekton and in their own roots is gone. Its
// folders and the files made of Secrets exist as long as this does.
class ReplayedPod {
 public:
  // `run`, with its plan and state, is the one that `id` is of; `workspaces` is the outermost run's name.
  // Throws Invalid for what make_pod() refuses.
  ReplayedPod(const RunRecord& run, const dag::Plan& plan, const State& state, TaskRunId id, const Dirs& dirs,
              const RunOptions& options, std::string_view workspaces);
  ~ReplayedPod();
  ReplayedPod(const ReplayedPod&) = delete;
  ReplayedPod& operator=(const ReplayedPod&) = delete;

  const steps::PodSpec& spec() const { return request_.spec; }
  const std::vector<std::string>& notes() const { return request_.notes; }

 private:
  std::filesystem::path folder_;
  PrivateFolder private_;
  PodRequest request_;
};

}  // namespace kiln::executor
