#include "steps/sandbox.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/open_folder.h"
#include "base/pipe.h"
#include "base/stop_fd.h"
#include "steps/native_sandbox.h"
#include "steps/oci_runtime.h"

namespace kiln::steps {
namespace {

using Steady = std::chrono::steady_clock;

constexpr std::array<std::pair<Network, std::string_view>, 3> kNetworks{
    {{Network::Host, "host"}, {Network::None, "none"}, {Network::Private, "private"}}};

constexpr size_t kPipe = 256 << 10;  // stays in the processor's cache

// Fewer switches between step and kiln; where the user's pipes are used up, the usual 64 KiB do.
void widen(const Pipe& pipe) {
  ::fcntl(pipe.read.get(), F_SETPIPE_SZ, static_cast<int>(kPipe));
}

// What there is to read now.
size_t readable(const UniqueFd& stream) {
  int bytes = 0;
  return ::ioctl(stream.get(), FIONREAD, &bytes) == 0 && bytes > 0 ? static_cast<size_t>(bytes) : 0;
}

// Hands on what there is to read, as far as `buffer` goes; closes `stream` at its end.
void pump(UniqueFd& stream, std::span<char> buffer, bool is_stderr,
          const std::function<void(bool, std::string_view)>& on_output) {
  const ssize_t n = ::read(stream.get(), buffer.data(), buffer.size());
  if (n < 0 && errno == EINTR) return;
  if (n <= 0)
    stream.reset();
  else if (on_output)
    on_output(is_stderr, {buffer.data(), static_cast<size_t>(n)});
}

// poll(2)'s timeout until the earlier of two moments; -1 for never.
int milliseconds_until(Steady::time_point moment) {
  if (moment == Steady::time_point::max()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(moment - Steady::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, 1'000'000));
}

}  // namespace

std::string_view to_string(Network network) {
  return std::ranges::find(kNetworks, network, &std::pair<Network, std::string_view>::first)->second;
}

std::optional<Network> network_named(std::string_view name) {
  const auto found = std::ranges::find(kNetworks, name, &std::pair<Network, std::string_view>::second);
  return found == kNetworks.end() ? std::nullopt : std::optional(found->first);
}

std::unique_ptr<SandboxRuntime> make_runtime(std::string_view name, const fs::path& runtime_dir) {
  if (name == "native") return std::make_unique<NativeRuntime>(runtime_dir);
  if (name == "runc" || name == "crun") return std::make_unique<OciRuntime>(std::string(name), runtime_dir);
  throw Error(ErrorKind::Usage, "there is no sandbox called \"" + std::string(name) + "\"",
              "choose native, runc or crun");
}

SandboxRun::SandboxRun(SandboxRuntime& runtime, const SandboxSpec& spec) {
  Pipe out, err;
  widen(out);
  widen(err);
  sandbox_ = runtime.start(spec, {-1, out.write.get(), err.write.get()});
  out_ = std::move(out.read);
  err_ = std::move(err.read);
}

SandboxRun::~SandboxRun() = default;

RunResult SandboxRun::to_end(const std::function<void(bool, std::string_view)>& on_output,
                             std::stop_token stop, std::chrono::nanoseconds timeout,
                             std::chrono::nanoseconds grace, std::stop_token kill) {
  const StopFd stop_fd(stop), kill_fd(kill);
  RunResult result;
  result.warnings = sandbox_->warnings();
  auto deadline = timeout.count() > 0 ? Steady::now() + timeout : Steady::time_point::max();
  bool ending = false, killed = false, ended = false;
  const auto buffer = std::make_unique_for_overwrite<char[]>(kPipe);
  while (!ended || out_ || err_) {
    pollfd fds[] = {{out_.get(), POLLIN, 0},
                    {err_.get(), POLLIN, 0},
                    {ended ? -1 : sandbox_->exit_fd(), POLLIN, 0},
                    {ending || ended ? -1 : stop_fd.get(), POLLIN, 0},
                    {killed || ended ? -1 : kill_fd.get(), POLLIN, 0}};
    if (::poll(fds, std::size(fds), milliseconds_until(deadline)) < 0 && errno != EINTR) throw_errno("poll");
    if (fds[2].revents) {
      ended = true;
      result.status = sandbox_->wait();
      deadline = Steady::time_point::max();
    }
    const bool late = Steady::now() >= deadline;
    bool at_once = kill.stop_requested();
    if (!ending && !ended && (stop.stop_requested() || at_once || late)) {
      ending = true;
      (stop.stop_requested() || at_once ? result.cancelled : result.timed_out) = true;
      sandbox_->signal(SIGTERM);
      deadline = Steady::now() + grace;
    } else if (ending && !killed && late) {
      at_once = true;
    }
    if (at_once && !ended && !killed) {
      killed = true;
      sandbox_->kill();
      deadline = Steady::time_point::max();
    }
    // Which of the two was written first nobody knows; but what comes after this look is behind both.
    std::array<size_t, 2> most{kPipe, kPipe};
    if (fds[0].revents && fds[1].revents) most = {readable(out_), readable(err_)};
    for (const bool is_stderr : {false, true})
      if (UniqueFd& stream = is_stderr ? err_ : out_; stream && fds[is_stderr].revents)
        pump(stream, {buffer.get(), std::clamp<size_t>(most[is_stderr], 1, kPipe)}, is_stderr, on_output);
  }
  return result;
}

RunResult run_to_end(SandboxRuntime& runtime, const SandboxSpec& spec,
                     const std::function<void(bool, std::string_view)>& on_output, std::stop_token stop,
                     std::chrono::nanoseconds timeout, std::chrono::nanoseconds grace, std::stop_token kill) {
  if (stop.stop_requested() || kill.stop_requested()) {
    RunResult result;
    result.cancelled = true;
    result.status = {.code = 128 + SIGTERM, .started = false, .message = "cancelled before it started"};
    return result;
  }
  return SandboxRun(runtime, spec).to_end(on_output, std::move(stop), timeout, grace, std::move(kill));
}

std::string sandbox_problem() {
  try {
    const TempDir folder;
    NativeRuntime(folder.path()).probe();
    return {};
  } catch (const Error& error) {
    return error.full_with_hint();
  }
}

UniqueFd open_source(const fs::path& source, const fs::path& within) {
  if (within.empty()) return open_file(source, O_PATH);
  return open_beneath(within, source.lexically_relative(within), O_PATH);
}

}  // namespace kiln::steps
