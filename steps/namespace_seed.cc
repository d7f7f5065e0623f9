#include "steps/namespace_seed.h"

#include <cerrno>
#include <fcntl.h>
#include <sched.h>
#include <string>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/pipe.h"
#include "steps/child.h"
#include "steps/wire.h"

namespace kiln::steps {
namespace {

constexpr size_t kStrings = 16;  // of a description, more than it has; all empty

}  // namespace

NamespaceSeed::NamespaceSeed(int clone_flags, uint32_t flags) {
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
    throw_errno("cannot make a socket pair");
  control_ = UniqueFd(pair[0]);
  const UniqueFd control_inside(pair[1]);
  Pipe status;
  status_ = std::move(status.read);
  const UniqueFd description(::memfd_create("kiln-sandbox-spec", MFD_CLOEXEC));
  if (!description) throw_errno("cannot describe the namespaces");
  wire::Header header{};
  header.flags = wire::kUserNamespace | flags;
  header.network_fd = -1;
  std::string spec(reinterpret_cast<const char*>(&header), sizeof header);
  spec.append(kStrings, '\0');
  write_all(description.get(), spec, "cannot describe the namespaces");
  const UniqueFd null = open_file("/dev/null", O_RDWR);
  const int fds[] = {null.get(),           null.get(),         null.get(),
                     control_inside.get(), status.write.get(), description.get()};
  spawned_ = spawn_sandbox_program(fds, CLONE_NEWUSER | clone_flags);
  if (spawned_.pid < 0) throw no_user_namespaces(errno);
}

NamespaceSeed::~NamespaceSeed() {
  control_.reset();
  reap(spawned_.pidfd);
}

UniqueFd NamespaceSeed::open(const char* kind) const {
  return open_file("/proc/" + std::to_string(spawned_.pid) + "/ns/" + kind, O_RDONLY);
}

void NamespaceSeed::go() {
  const wire::Request go{wire::Ask::Go, 0};
  ::send(control_.get(), &go, sizeof go, MSG_NOSIGNAL);
  wire::Status status{};
  ssize_t n;
  do n = ::read(status_.get(), &status, sizeof status);
  while (n < 0 && errno == EINTR);
  if (n == sizeof status && status.event == wire::Event::Started) return;
  throw Error(ErrorKind::Infrastructure,
              n == sizeof status ? status.message : "the namespaces' process has died",
              "`kiln doctor` tests the sandbox");
}

}  // namespace kiln::steps
