#include "steps/egress.h"

#include <poll.h>
#include <span>
#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

#include "base/error.h"
#include "base/fs.h"
#include "base/pipe.h"
#include "base/process.h"
#include "base/spawn.h"
#include "base/stop_fd.h"
#include "base/text.h"
#include "steps/child.h"

namespace kiln::steps {
namespace {

// pasta changes its credentials, which takes the parent-death signal away. So a shell waits at a pipe for our
// end, and ends it then.
constexpr int kReadyWithin = 10'000;  // ms; it takes a few

constexpr const char* kGuard = "\"$@\" </dev/null & exec >&- 2>&-; read -r _; kill -9 $!; wait";

Command command(const NetworkNamespace& network) {
  Command command;
  std::vector<std::string>& argv = command.argv;
  argv = {"/bin/sh", "-c", kGuard, "sh", "pasta", "--foreground", "--quiet", "--stderr"};
  // Set up by itself, no port of ours seen there nor one of its seen here, nothing of our loopback.
  for (const char* option :
       {"--config-net", "-t", "none", "-u", "none", "-T", "none", "-U", "none", "--no-map-gw"})
    argv.push_back(option);
  // As root it would become "nobody", who may not enter a namespace of root's.
  if (::geteuid() == 0) argv.insert(argv.end(), {"--runas", "0:0"});
  // By descriptors of its own: it gives up the right to look at ours.
  if (network.owner) argv.insert(argv.end(), {"--userns", "/proc/self/fd/4"});
  // It writes its process id when it is ready.
  argv.insert(argv.end(), {"--pid", "/dev/stdout", "--netns", "/proc/self/fd/3"});
  return command;
}

}  // namespace

bool Egress::is_available() {
  static const bool found = find_program("pasta").has_value();
  return found;
}

Egress::Egress(const NetworkNamespace& network, const std::stop_token& stop) {
  const StopFd stop_fd(stop);
  Pipe lifeline, ready;
  const UniqueFd errors(::memfd_create("pasta", MFD_CLOEXEC));
  if (!errors) throw_errno("memfd_create");
  const int fds[] = {lifeline.read.get(), ready.write.get(), errors.get(), network.network.get(),
                     network.owner.get()};
  // In a session of its own: a Ctrl-C at the terminal is not meant for it.
  guard_ = spawn(command(network), std::span(fds).first(network.owner ? 5 : 4), Apart::Session);
  lifeline_ = std::move(lifeline.write);
  ready.write.reset();
  pollfd fates[] = {{ready.read.get(), POLLIN, 0}, {stop_fd.get(), POLLIN, 0}};
  int happened;
  do happened = ::poll(fates, std::size(fates), kReadyWithin);
  while (happened < 0 && errno == EINTR);
  char byte;
  if (fates[0].revents && ::read(ready.read.get(), &byte, 1) == 1) return;
  end();
  if (fates[1].revents) throw Error(ErrorKind::Cancelled, "the way out of the network was cancelled");
  const std::string said = read_file("/proc/self/fd/" + std::to_string(errors.get()), 64 << 10);
  throw Error(ErrorKind::Infrastructure,
              happened > 0 ? "pasta says: " + replace_all(std::string(trim(said)), "\n", "; ")
                           : "pasta was not ready within 10 s");
}

Egress::~Egress() {
  end();
}

void Egress::end() {
  lifeline_.reset();
  if (guard_ > 0) reap(guard_);
}

}  // namespace kiln::steps
