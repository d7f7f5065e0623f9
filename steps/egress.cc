#include "steps/egress.h"

#include <csignal>
#include <fcntl.h>
#include <span>
#include <spawn.h>
#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

#include "base/error.h"
#include "base/fs.h"
#include "base/process.h"
#include "base/text.h"
#include "steps/child.h"

namespace kiln::steps {
namespace {

// pasta changes its credentials, which takes the parent-death signal away. So a shell waits at a pipe for our
// end, and ends it then.
constexpr const char* kGuard = "\"$@\" </dev/null & exec >&- 2>&-; read -r _; kill -9 $!; wait";

std::vector<std::string> command(const NetworkNamespace& network) {
  std::vector<std::string> argv{"/bin/sh", "-c",           kGuard,    "sh",
                                "pasta",   "--foreground", "--quiet", "--stderr"};
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
  return argv;
}

struct Pipe {
  UniqueFd read, write;
};

Pipe make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw_errno("pipe");
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

// In a session of its own: a Ctrl-C at the terminal is not meant for it. `fds[i]` becomes its descriptor i.
pid_t spawn(std::vector<std::string> arguments, std::span<const int> fds) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  // From above, so that none is overwritten before it is put in its place.
  std::vector<UniqueFd> high;
  for (const int fd : fds) high.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, 64));
  for (size_t i = 0; i < high.size(); ++i)
    if (high[i]) posix_spawn_file_actions_adddup2(&actions, high[i].get(), static_cast<int>(i));
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  sigset_t defaults;  // pasta takes a SIGPIPE that is ignored for a failure
  sigemptyset(&defaults);
  sigaddset(&defaults, SIGPIPE);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  pid_t pid = -1;
  const int error = ::posix_spawn(&pid, argv[0], &actions, &attributes, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error) throw_errno(error, "cannot start " + arguments.front());
  return pid;
}

}  // namespace

bool Egress::is_available() {
  static const bool found = find_program("pasta").has_value();
  return found;
}

Egress::Egress(const NetworkNamespace& network) {
  Pipe lifeline = make_pipe(), ready = make_pipe();
  const UniqueFd errors(::memfd_create("pasta", MFD_CLOEXEC));
  if (!errors) throw_errno("memfd_create");
  const int fds[] = {lifeline.read.get(), ready.write.get(), errors.get(), network.network.get(),
                     network.owner.get()};
  guard_ = spawn(command(network), std::span(fds).first(network.owner ? 5 : 4));
  lifeline_ = std::move(lifeline.write);
  ready.write.reset();
  char byte;
  ssize_t n;
  do n = ::read(ready.read.get(), &byte, 1);
  while (n < 0 && errno == EINTR);
  if (n == 1) return;
  end();
  const std::string said = read_file("/proc/self/fd/" + std::to_string(errors.get()), 64 << 10);
  throw Error(ErrorKind::Infrastructure, "pasta says: " + replace_all(std::string(trim(said)), "\n", "; "));
}

Egress::~Egress() {
  end();
}

void Egress::end() {
  lifeline_.reset();
  if (guard_ > 0) reap(guard_);
}

}  // namespace kiln::steps
