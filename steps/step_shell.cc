#include "steps/step_shell.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"
#include "steps/pod_images.h"
#include "steps/pod_network.h"
#include "steps/step_world.h"

namespace kiln::steps {
namespace {

constexpr int kLookAtSize = 250;  // milliseconds between looks at the terminal's size

// The user's terminal passes every key on while this lives.
class RawTerminal {
 public:
  RawTerminal() {
    if (::tcgetattr(0, &before_) != 0) throw_errno("ask the terminal for its settings");
    termios raw = before_;
    ::cfmakeraw(&raw);
    ::tcsetattr(0, TCSADRAIN, &raw);
  }
  ~RawTerminal() { ::tcsetattr(0, TCSADRAIN, &before_); }
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;

 private:
  termios before_{};
};

struct PseudoTerminal {
  UniqueFd ours, theirs;
  PseudoTerminal() : ours(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)) {
    char name[128];
    if (!ours || ::grantpt(ours.get()) != 0 || ::unlockpt(ours.get()) != 0 ||
        ::ptsname_r(ours.get(), name, sizeof name) != 0)
      throw_errno("make a pseudo-terminal");
    theirs = open_file(name, O_RDWR | O_NOCTTY);
  }
  void take_size() {
    winsize size{};
    if (::ioctl(0, TIOCGWINSZ, &size) == 0) ::ioctl(ours.get(), TIOCSWINSZ, &size);
  }
};

// Copies what there is; false at the end.
bool copy(int from, int to) {
  char buffer[16 << 10];
  const ssize_t n = ::read(from, buffer, sizeof buffer);
  if (n < 0 && errno == EINTR) return true;
  if (n <= 0) return false;
  write_all(to, {buffer, static_cast<size_t>(n)}, "terminal");
  return true;
}

int end_of(Sandbox& sandbox) {
  const ExitStatus status = sandbox.wait();
  if (!status.started) throw Error(ErrorKind::Failed, status.message);
  return status.code;
}

int run_on_terminal(SandboxRuntime& runtime, const SandboxSpec& spec, const std::stop_token& stop) {
  PseudoTerminal terminal;
  terminal.take_size();
  const int inside = terminal.theirs.get();
  const auto sandbox = runtime.start(spec, {inside, inside, inside});
  terminal.theirs.reset();
  const std::stop_callback end(stop, [&] { sandbox->kill(); });
  const RawTerminal raw;
  bool input = true;
  for (;;) {
    pollfd fds[] = {{terminal.ours.get(), POLLIN, 0}, {input ? 0 : -1, POLLIN, 0}};
    ::poll(fds, 2, kLookAtSize);
    terminal.take_size();
    if (fds[1].revents && !copy(0, terminal.ours.get())) {  // the user's terminal was closed
      input = false;
      sandbox->kill();
    }
    // Its other end is closed when the last process that has it open is gone.
    if (fds[0].revents && !copy(terminal.ours.get(), 1)) break;
  }
  const int code = end_of(*sandbox);
  // A kernel that finds its buffer empty, then the other end closed, says "end" though words came in between.
  while (copy(terminal.ours.get(), 1)) {
  }
  return code;
}

}  // namespace

int run_step_shell(SandboxRuntime& runtime, const registry::Images& images, const LocalPods::Options& options,
                   const PodSpec& pod, size_t index, std::vector<std::string> command,
                   const std::stop_token& stop) {
  const StepSpec& step = pod.steps.at(index);
  if (step.image == kHostImage && !pod.allow_host_image)
    throw Error(ErrorKind::Invalid, "step " + step.name + " has `image: host`, this machine's own root",
                "allow that with --allow-host");
  if (step.image == kKilnImage)
    throw Error(ErrorKind::Invalid, "step " + step.name + " is one of Kiln's own verbs and has no shell");
  std::vector<StepImage> got;
  if (const auto problem = get_images({&step}, image_source(images, pod.images), stop, got))
    throw problem->error.because("the image \"" + step.image + "\" cannot be had");
  const PodFolder folder(pod);
  const PodNetwork network(pod.network, false, stop);
  StepWorld world(pod, options, folder);
  network.join(world);
  SandboxSpec spec = world.of_step(index, step, got.front());
  if (command.empty())
    command = {"/bin/sh", "-c", "if command -v bash >/dev/null; then exec bash; else exec sh; fi"};
  spec.args = std::move(command);
  if (::isatty(0) == 1 && ::isatty(1) == 1) {
    const char* kind = ::getenv("TERM");
    spec.env.push_back(std::string("TERM=") + (kind ? kind : "xterm"));
    return run_on_terminal(runtime, spec, stop);
  }
  const auto sandbox = runtime.start(spec, {0, 1, 2});
  const std::stop_callback end(stop, [&] { sandbox->kill(); });
  return end_of(*sandbox);
}

}  // namespace kiln::steps
