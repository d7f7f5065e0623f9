#include "executor/replayed_pod.h"

#include "base/fs.h"
#include "base/text.h"
#include "executor/pod_places.h"
#include "executor/task_job.h"

namespace kiln::executor {

// What is left is for `kiln runs delete`.
static void remove_folders(const fs::path& folder) noexcept {
  try_remove_private_folder(folder);
  try_remove_tree(folder);
}

ReplayedPod::ReplayedPod(const RunRecord& run, const dag::Plan& plan, const State& state, TaskRunId id,
                         const Dirs& dirs, const RunOptions& options, std::string_view workspaces) {
  const std::string word = random_hex(4);
  PodPlaces places = pod_places(dirs, run.id, options);
  folder_ = places.run / ("shell-" + word);
  places.workspaces = dirs.runs() / workspaces / "workspaces";
  places.run = folder_;
  make_dirs(folder_, 0700);
  OnExit undo([&] { remove_folders(folder_); });
  private_ = PrivateFolder(dirs, folder_, run.uid + "-" + word);
  places.secrets = private_.path();
  const dag::TaskRunIndex which = index_of(state, id);
  const dag::ResolvedTask resolved =
      dag::resolve_task(plan, id.task, StateFacts(plan, state), {run.id, run.uid, "default"}, which);
  request_ = make_pod(plan, id.task, resolved, run.id, which, places);
  prepare_pod(request_);
  undo.dismiss();
}

ReplayedPod::~ReplayedPod() {
  remove_folders(folder_);
}

}  // namespace kiln::executor
