#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "steps/helper/spec.h"

// Kiln's sandbox program: PID 1 of a sandbox. Kiln starts it inside new namespaces; it builds the root,
// starts the step, reaps, reports, and dies with kiln (steps/README.md has the whole picture).
namespace kiln::steps::helper {
namespace {

// Kiln has to write the user namespace's maps first.
void wait_for_maps() {
  wire::Request request;
  ssize_t n;
  do n = recv(wire::kControlFd, &request, sizeof request, 0);
  while (n < 0 && errno == EINTR);
  if (n != sizeof request || request.ask != wire::Ask::Go) _exit(1);  // kiln gave up, or is gone
}

// A pod's: whoever made it has brought its loopback up.
void join_network(int fd) {
  if (setns(fd, CLONE_NEWNET) != 0) fail("cannot join the pod's network");
  close(fd);
}

void bring_loopback_up() {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request{};
  strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) != 0) fail("cannot bring the loopback device up");
  close(fd);
}

[[noreturn]] void end_well() {
  wire::Status status{};
  status.event = wire::Event::Started;
  report(status);
  _exit(0);
}

[[noreturn]] void run() {
  prctl(PR_SET_NAME, "kiln-sandbox");
  const Spec spec = read_spec();
  if (spec.has(wire::kUserNamespace)) wait_for_maps();
  if (spec.has(wire::kNetwork)) {
    bring_loopback_up();
    end_well();
  }
  // No step may look into PID 1, which has more rights than any step and holds kiln's socket.
  prctl(PR_SET_DUMPABLE, 0);
  umask(0);
  if (sethostname(spec.hostname, strlen(spec.hostname)) != 0) fail("cannot set the host name");
  if (spec.header->network_fd >= 0) join_network(spec.header->network_fd);
  if (spec.has(wire::kLoopback)) bring_loopback_up();
  if (!spec.has(wire::kProbe)) prepare_process(spec);
  enter_root(spec);
  if (spec.has(wire::kProbe)) end_well();
  int64_t started = 0;
  const int pid = start_process(spec, started);
  supervise(spec, pid, started);
}

}  // namespace
}  // namespace kiln::steps::helper

int main() {
  kiln::steps::helper::run();
}
