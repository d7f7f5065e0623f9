#include "executor/control.h"

#include <cstdio>
#include <fcntl.h>
#include <optional>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"
#include "executor/run_lock.h"
#include "executor/scheduler.h"

namespace kiln::executor {
namespace {

constexpr const char* kFolder = "control";
constexpr const char* kCancel = "cancel";
constexpr uint64_t kLongestRequest = 4096;  // bytes
// A named pipe: whoever leaves a request writes a byte into it. Watching the folder would do as well, but the
// kernel takes up to 20 ms to end a watch, which is more than a short run takes.
constexpr const char* kBell = "bell";

void ring(const fs::path& folder) {
  const UniqueFd bell(::open((folder / kBell).c_str(), O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC));
  if (bell) (void)!::write(bell.get(), "!", 1);  // full: it rings already; nobody listens: they look at start
}

UniqueFd open_bell(const fs::path& folder) {
  const fs::path path = folder / kBell;
  ::unlink(path.c_str());
  if (::mkfifo(path.c_str(), 0600) != 0) throw_errno("cannot make " + path.string());
  return open_file(path, O_RDWR | O_NONBLOCK);
}

// Moved aside first: the next request may come while this one is read.
std::optional<std::string> take_cancel(const fs::path& folder) {
  const fs::path taken = folder / "taken";
  if (::rename((folder / kCancel).c_str(), taken.c_str()) != 0) return std::nullopt;
  std::string mode = "CancelledRunFinally";  // when it cannot be read: somebody asked for an end
  try {
    mode = read_file(taken, kLongestRequest);
  } catch (const Error&) {
  }
  ::unlink(taken.c_str());
  return mode;
}

// Blocks until the bell has rung; false when `stop` was requested first.
bool await_bell(int bell, int wake, const std::stop_token& stop) {
  pollfd both[] = {{bell, POLLIN, 0}, {wake, POLLIN, 0}};
  while (::poll(both, 2, -1) < 0 && errno == EINTR) {
  }
  char rung[64];
  while (::read(bell, rung, sizeof rung) > 0) {
  }
  return !stop.stop_requested();
}

}  // namespace

void request_cancel(const fs::path& run, const std::string& mode, bool will_come) {
  if (will_come) make_dirs(run / kFolder, 0700);
  if (!fs::exists(run / kFolder))
    throw Error(ErrorKind::NotFound, "run " + run.filename().string() + " is not running",
                "kiln runs list shows what is");
  write_file_atomic(run / kFolder / kCancel, mode);
  ring(run / kFolder);
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
  thread_ = std::jthread([folder = folder_, on_cancel = std::move(on_cancel), bell = open_bell(folder_),
                          wake = UniqueFd(::eventfd(0, EFD_CLOEXEC))](const std::stop_token& stop) {
    const std::stop_callback on_stop(stop, [&] { ::eventfd_write(wake.get(), 1); });
    do {
      if (auto mode = take_cancel(folder)) on_cancel(std::move(*mode));
    } while (await_bell(bell.get(), wake.get(), stop));
  });
}

ControlListener::~ControlListener() {
  thread_ = {};  // joins
  if (keep_) return;
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

}  // namespace kiln::executor
