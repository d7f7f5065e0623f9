#include "executor/run_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/text.h"
#include "executor/private_folder.h"

namespace kiln::executor {
namespace {

std::string how_it_was_lost(const RunRecord& run) {
  std::string message = "kiln ended before this run did (killed, or the machine went down)";
  if (run.parent.empty()) message += "; go on: kiln runs rerun " + run.id + " --from-failed";
  return message;
}

// The file appears with its lock held: whoever looks for lost runs must not find it free in between.
// Invalid when it is there already.
UniqueFd make_locked(const std::filesystem::path& path) {
  const std::string fresh = path.native() + "-" + random_hex(8);
  UniqueFd lock = open_file(fresh, O_RDWR | O_CREAT | O_EXCL, 0600);
  const bool locked = ::flock(lock.get(), LOCK_EX) == 0;
  const bool made = locked && ::link(fresh.c_str(), path.c_str()) == 0;
  const int problem = errno;
  ::unlink(fresh.c_str());
  if (made) return lock;
  if (locked && problem == EEXIST) return {};
  throw_errno(problem, "cannot make " + path.string());
}

}  // namespace

UniqueFd try_lock_run(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "lock";
  for (;;) {
    UniqueFd lock(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    if (!lock && errno != ENOENT) throw_errno("open " + path.string());
    if (!lock) {
      lock = make_locked(path);
      if (!lock) continue;  // another was faster
      return lock;
    }
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) == 0) return lock;
    if (errno != EWOULDBLOCK) throw_errno("lock " + path.string());
    return {};
  }
}

void forget_pods(const std::filesystem::path& folder) {
  remove_tree(folder / "pods");
  remove_private_folder(folder);
}

std::vector<RunRecord> close_lost_runs(Journal& journal, const std::filesystem::path& runs, Time now) {
  std::vector<RunRecord> lost;
  for (RunRecord& run : journal.unfinished()) {
    if (run.owner != Owner::Terminal) continue;
    UniqueFd lock;
    std::error_code no_folder;
    if (std::filesystem::exists(runs / run.id / "lock", no_folder)) {
      lock = try_lock_run(runs / run.id);
      if (!lock) continue;
    } else if (now - run.created < std::chrono::minutes(1)) {
      continue;  // perhaps just being started: the lock comes after the record
    }
    try {
      forget_pods(runs / run.id);
    } catch (const Error&) {  // the next kiln tries again: a run is not closed while it leaves secrets behind
      continue;
    }
    run.reason = "Cancelled";
    run.message = how_it_was_lost(run);
    run.finished = now;
    const Event end{
        .kind = Event::Kind::RunFinished, .at = now, .reason = run.reason, .message = run.message};
    journal.append(run.id, dag::Plan{}, std::span(&end, 1));
    lost.push_back(std::move(run));
  }
  return lost;
}

}  // namespace kiln::executor
