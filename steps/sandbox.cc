#include "steps/sandbox.h"

#include <cerrno>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>

#include "base/error.h"
#include "base/fs.h"
#include "steps/native_sandbox.h"
#include "steps/oci_runtime.h"

namespace kiln::steps {
namespace {

using Steady = std::chrono::steady_clock;

constexpr size_t kPipe = 256 << 10;  // stays in the processor's cache

struct Output {
  UniqueFd read, write;
  bool is_stderr;
  explicit Output(bool err) : is_stderr(err) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw_errno("cannot make a pipe");
    read.reset(ends[0]);
    write.reset(ends[1]);
    // Fewer switches between step and kiln; where the user's pipes are used up, the usual 64 KiB do.
    ::fcntl(ends[0], F_SETPIPE_SZ, static_cast<int>(kPipe));
  }
};

// poll(2)'s timeout until the earlier of two moments; -1 for never.
int milliseconds_until(Steady::time_point moment) {
  if (moment == Steady::time_point::max()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(moment - Steady::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, 1'000'000));
}

}  // namespace

std::unique_ptr<SandboxRuntime> make_runtime(std::string_view name, const fs::path& runtime_dir) {
  if (name == "native") return std::make_unique<NativeRuntime>(runtime_dir);
  if (name == "runc" || name == "crun") return std::make_unique<OciRuntime>(std::string(name), runtime_dir);
  throw Error(ErrorKind::Usage, "there is no sandbox called \"" + std::string(name) + "\"",
              "choose native, runc or crun");
}

RunResult run_to_end(SandboxRuntime& runtime, const SandboxSpec& spec,
                     const std::function<void(bool, std::string_view)>& on_output, std::stop_token stop,
                     std::chrono::nanoseconds timeout, std::chrono::nanoseconds grace) {
  Output out(false), err(true);
  const UniqueFd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake) throw_errno("cannot make an eventfd");
  std::stop_callback on_stop(stop, [&] {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = ::write(wake.get(), &one, sizeof one);
  });

  RunResult result;
  if (stop.stop_requested()) {
    result.cancelled = true;
    result.status = {.code = 128 + SIGTERM, .started = false, .message = "cancelled before it started"};
    return result;
  }
  const auto sandbox = runtime.start(spec, {-1, out.write.get(), err.write.get()});
  out.write.reset();
  err.write.reset();
  result.warnings = sandbox->warnings();
  const auto started = Steady::now();
  auto deadline = timeout.count() > 0 ? started + timeout : Steady::time_point::max();
  bool ending = false, killed = false, ended = false;
  const auto buffer = std::make_unique_for_overwrite<char[]>(kPipe);
  while (!ended || out.read || err.read) {
    pollfd fds[] = {{out.read.get(), POLLIN, 0},
                    {err.read.get(), POLLIN, 0},
                    {ended ? -1 : sandbox->exit_fd(), POLLIN, 0},
                    {ending ? -1 : wake.get(), POLLIN, 0}};
    if (::poll(fds, std::size(fds), milliseconds_until(deadline)) < 0 && errno != EINTR) throw_errno("poll");
    if (fds[2].revents) {
      ended = true;
      result.status = sandbox->wait();
      deadline = Steady::time_point::max();
    }
    const bool late = Steady::now() >= deadline;
    if (!ending && !ended && (fds[3].revents || late)) {
      ending = true;
      (fds[3].revents ? result.cancelled : result.timed_out) = true;
      sandbox->signal(SIGTERM);
      deadline = Steady::now() + grace;
    } else if (ending && !killed && late) {
      killed = true;
      sandbox->kill();
      deadline = Steady::time_point::max();
    }
    for (Output* output : {&out, &err}) {
      if (!output->read || !fds[output->is_stderr].revents) continue;
      const ssize_t n = ::read(output->read.get(), buffer.get(), kPipe);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0)
        output->read.reset();
      else if (on_output)
        on_output(output->is_stderr, {buffer.get(), static_cast<size_t>(n)});
    }
  }
  return result;
}

std::string sandbox_problem() {
  try {
    const TempDir folder;
    NativeRuntime(folder.path()).probe();
    return {};
  } catch (const Error& error) {
    return error.full() + (error.hint().empty() ? "" : " (" + error.hint() + ")");
  }
}

}  // namespace kiln::steps
