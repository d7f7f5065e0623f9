#include "executor/control.h"

#include "base/error.h"
#include "base/folder_watch.h"
#include "base/fs.h"
#include "executor/run_lock.h"
#include "executor/scheduler.h"

namespace kiln::executor {
namespace {

constexpr const char* kFolder = "control";
constexpr const char* kCancel = "cancel";

}  // namespace

void request_cancel(const fs::path& run, const std::string& mode, bool will_come) {
  if (will_come) make_dirs(run / kFolder, 0700);
  if (!fs::exists(run / kFolder))
    throw Error(ErrorKind::NotFound, "run " + run.filename().string() + " is not running",
                "kiln runs list shows what is");
  write_file_atomic(run / kFolder / kCancel, mode);
}

void end_pending_run(Journal& journal, const fs::path& runs, const RunRecord& run, Time now) {
  make_dirs(runs / run.id, 0700);
  const UniqueFd lock = try_lock_run(runs / run.id);
  const dag::Plan plan = journal.plan(run.id);
  State state = replay(journal, run.id, plan);
  if (!lock || state.has_started) throw Error(ErrorKind::Failed, "run " + run.id + " has just been started");
  const Scheduler scheduler(plan, {1, {run.id, run.uid, "default"}});
  journal.append(
      run.id, plan,
      scheduler.advance(state, {.kind = Event::Kind::RunStarted, .at = now, .reason = "Cancelled"}, now));
}

ControlListener::ControlListener(const fs::path& run, std::function<void(std::string)> on_cancel)
    : folder_(run / kFolder) {
  make_dirs(folder_, 0700);
  thread_ = std::jthread([folder = folder_, on_cancel = std::move(on_cancel),
                          watch = FolderWatch(folder_)](std::stop_token stop) mutable {
    while (watch.wait_for(kCancel, stop)) {
      on_cancel(read_file(folder / kCancel));
      fs::remove(folder / kCancel);
    }
  });
}

ControlListener::~ControlListener() {
  thread_ = {};  // joins
  if (keep_) return;
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

}  // namespace kiln::executor
