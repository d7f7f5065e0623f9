#include "steps/native_sandbox.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <mutex>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/pipe.h"
#include "steps/cgroup.h"
#include "steps/child.h"
#include "steps/sandbox_description.h"
#include "steps/spawn.h"
#include "steps/user_namespace.h"
#include "steps/wire.h"

namespace kiln::steps {
namespace {

constexpr size_t kMostLayers = 500;  // overlayfs

class NativeSandbox final : public Sandbox {
 public:
  NativeSandbox(Spawned spawned, UniqueFd control, UniqueFd status, std::optional<Cgroup> cgroup,
                std::vector<std::string> warnings)
      : spawned_(std::move(spawned)),
        control_(std::move(control)),
        status_(std::move(status)),
        cgroup_(std::move(cgroup)),
        warnings_(std::move(warnings)) {}

  // Closing the lifeline would do; the signal spares a running step the detour through PID 1. Waiting makes
  // it a promise: no process, mount or namespace is left when this returns.
  ~NativeSandbox() override {
    control_.reset();
    const bool ended = exit_.has_value();
    if (!ended) kill();
    reap(spawned_.pidfd);
  }

  // The first words of PID 1: nothing, or why the sandbox (throws) or the process (`exit_`) did not start.
  void await_start() {
    wire::Status status{};
    if (!read_status(status))
      throw Error(ErrorKind::Infrastructure, "the sandbox ended before its step could start",
                  "the machine may be out of memory; `kiln doctor` tests the sandbox");
    if (status.event == wire::Event::SetupFailed) {
      errno = status.code;
      throw_errno(status.code, std::string("cannot make the sandbox: ") + status.message);
    }
    if (status.event != wire::Event::ExecFailed) return;
    std::string message = status.message;
    if (status.error != 0) message += ": " + std::generic_category().message(status.error);
    exit_ = ExitStatus{.code = status.code, .started = false, .message = std::move(message)};
  }

  ExitStatus wait() override {
    for (;;) {
      {
        const std::lock_guard lock(mutex_);
        if (exit_) return *exit_;
        pollfd ready{status_.get(), POLLIN, 0};
        if (::poll(&ready, 1, 0) == 1) return take_exit();
      }
      pollfd ready{status_.get(), POLLIN, 0};
      ::poll(&ready, 1, -1);
    }
  }

  int exit_fd() const override { return status_.get(); }

  void signal(int number) override { ask(wire::Ask::Signal, number); }

  void kill() override { ::syscall(SYS_pidfd_send_signal, spawned_.pidfd.get(), SIGKILL, nullptr, 0); }

  UniqueFd dial_socket() override {
    const std::lock_guard lock(dial_mutex_);
    if (!ask(wire::Ask::Dial, 0)) throw Error(ErrorKind::Unavailable, "the sandbox has ended");
    int32_t result = 0;
    iovec bytes{&result, sizeof result};
    alignas(cmsghdr) char buffer[CMSG_SPACE(sizeof(int))];
    msghdr message{};
    message.msg_iov = &bytes;
    message.msg_iovlen = 1;
    message.msg_control = buffer;
    message.msg_controllen = sizeof buffer;
    ssize_t n;
    do n = ::recvmsg(control_.get(), &message, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n != sizeof result) throw Error(ErrorKind::Unavailable, "the sandbox has ended");
    if (result != 0) throw_errno(result, "cannot make a socket in the sandbox");
    const cmsghdr* header = CMSG_FIRSTHDR(&message);
    if (!header || header->cmsg_type != SCM_RIGHTS)
      throw Error(ErrorKind::Infrastructure, "the sandbox sent no socket (too many open files?)");
    int fd;
    std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
    return UniqueFd(fd);
  }

  std::optional<int> exec(const std::vector<std::string>& args, std::chrono::nanoseconds timeout) override {
    const std::lock_guard lock(dial_mutex_);
    const wire::Request request{wire::Ask::Exec, static_cast<int32_t>(args.size())};
    std::string bytes(reinterpret_cast<const char*>(&request), sizeof request);
    for (const std::string& word : args) bytes.append(word).push_back('\0');
    if (args.size() > wire::kMostWords || bytes.size() > wire::kLongestRequest)
      throw Error(ErrorKind::Invalid, "a command of more than 256 words or 64 KiB cannot run in a sandbox",
                  "put it into a script in the image");
    if (::send(control_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(bytes.size()))
      return std::nullopt;
    const bool late = !readable_within(control_.get(), timeout);
    if (late) ask(wire::Ask::EndExec, 0);
    int32_t code = wire::kNoExec;
    ssize_t n;
    do n = ::recv(control_.get(), &code, sizeof code, 0);
    while (n < 0 && errno == EINTR);
    if (late || n != sizeof code || code == wire::kNoExec) return std::nullopt;
    return code;
  }

  bool never_started() const override {
    const std::lock_guard lock(mutex_);
    return exit_ && !exit_->started;
  }

  std::vector<std::string> warnings() const override { return warnings_; }

 private:
  // False at the end of file: PID 1 is gone.
  bool read_status(wire::Status& status) {
    ssize_t n;
    do n = ::read(status_.get(), &status, sizeof status);
    while (n < 0 && errno == EINTR);
    return n == sizeof status;
  }

  ExitStatus take_exit() {
    wire::Status status{};
    ExitStatus exit;
    if (read_status(status)) {
      exit.code = status.code;
      exit.run_time = std::chrono::nanoseconds(status.run_time_ns);
    } else {
      exit.code = 128 + SIGKILL;  // killed with everything else inside
    }
    exit.out_of_memory = exit.code == 128 + SIGKILL && cgroup_ && cgroup_->out_of_memory();
    exit_ = exit;
    return exit;
  }

  bool ask(wire::Ask what, int argument) {
    const wire::Request request{what, argument};
    return ::send(control_.get(), &request, sizeof request, MSG_NOSIGNAL) == sizeof request;
  }

  Spawned spawned_;
  UniqueFd control_, status_;
  std::optional<Cgroup> cgroup_;
  std::vector<std::string> warnings_;
  mutable std::mutex mutex_;
  std::mutex dial_mutex_;
  std::optional<ExitStatus> exit_;
};

int namespaces_of(const SandboxSpec& spec, bool user_namespace) {
  int flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS;
  if (user_namespace) flags |= CLONE_NEWUSER;
  if (!spec.trusted) flags |= CLONE_NEWCGROUP;
  if (spec.network != Network::Host && !joins_network(spec)) flags |= CLONE_NEWNET;
  return flags;
}

}  // namespace

NativeRuntime::NativeRuntime(const fs::path& runtime_dir) : mount_point_(runtime_dir / "mnt") {
  make_dirs(runtime_dir, 0700);
  make_dirs(mount_point_, 0700);
  mount_point_ = fs::canonical(mount_point_);
}

std::unique_ptr<Sandbox> NativeRuntime::start(const SandboxSpec& spec, const Streams& streams) {
  return make(spec, streams, 0);
}

void NativeRuntime::probe() {
  SandboxSpec spec;
  spec.id = "kiln-probe";
  spec.rootfs.host = true;
  spec.args = {"true"};
  make(spec, {}, wire::kProbe);
}

std::unique_ptr<Sandbox> NativeRuntime::make(const SandboxSpec& spec, const Streams& streams,
                                             uint32_t extra_flags) {
  if (spec.rootfs.lowers.empty() && !spec.rootfs.host)
    throw Error(ErrorKind::Infrastructure, "the sandbox " + spec.id + " has no root folder");
  if (const size_t layers = spec.rootfs.lowers.size(); layers > kMostLayers)
    throw Error(
        ErrorKind::Invalid,
        "the image has " + std::to_string(layers) + " layers; Linux can stack " + std::to_string(kMostLayers),
        "build it with fewer, or squash them");
  const bool user_namespace = needs_user_namespace();
  // A network of another user namespace is entered before the sandbox has its own.
  const bool enters = joins_network(spec) && spec.network_owner >= 0;
  IdMaps maps;
  if (user_namespace)
    maps = enters ? plan_nested_id_maps(spec.uid, spec.gid) : plan_id_maps(spec.uid, spec.gid);

  std::vector<std::string> warnings;
  std::optional<Cgroup> cgroup;
  if (spec.resources.memory_bytes || spec.resources.pids || spec.resources.cpus > 0)
    cgroup.emplace(spec.id, spec.resources, warnings);

  uint32_t flags = extra_flags;
  if (user_namespace) flags |= wire::kUserNamespace;
  if (!user_namespace || maps.set_groups) flags |= wire::kSetGroups;
  if (spec.trusted) flags |= wire::kTrusted;
  if (spec.rootfs.host) flags |= wire::kHostRoot;
  if (spec.rootfs.read_only) flags |= wire::kReadOnlyRoot;
  if (spec.make_cwd) flags |= wire::kMakeCwd;
  if (spec.network == Network::Host) flags |= wire::kHostNetwork;
  if (spec.network != Network::Host && !joins_network(spec)) flags |= wire::kLoopback;
  const std::vector<int> procs = cgroup ? cgroup->procs() : std::vector<int>();
  const std::vector<int> parents = cgroup ? cgroup->parents() : std::vector<int>();
  const int first_idmap = wire::kFirstCgroupFd + static_cast<int>(procs.size() + parents.size());
  std::vector<int> idmaps;
  const UniqueFd description =
      describe_sandbox(spec, flags, mount_point_, cgroup ? &*cgroup : nullptr, first_idmap, idmaps);

  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
    throw_errno("cannot make a socket pair");
  UniqueFd control(pair[0]), control_inside(pair[1]);
  Pipe status;
  UniqueFd null;
  if (streams.in < 0 || streams.out < 0 || streams.err < 0) null = open_file("/dev/null", O_RDWR);
  const auto or_null = [&](int fd) { return fd < 0 ? null.get() : fd; };

  std::vector<int> fds = {or_null(streams.in),  or_null(streams.out), or_null(streams.err),
                          control_inside.get(), status.write.get(),   description.get()};
  for (const std::vector<int>& more : {procs, parents, idmaps})
    fds.insert(fds.end(), more.begin(), more.end());
  if (joins_network(spec) && !enters) fds.push_back(spec.network_namespace);
  const int namespaces = namespaces_of(spec, user_namespace);
  Spawned spawned =
      enters ? spawn_in_network(fds, namespaces, {spec.network_owner, spec.network_namespace, maps})
             : spawn_sandbox_program(fds, namespaces);
  if (spawned.pid < 0) {
    if (user_namespace) throw no_user_namespaces(errno);
    throw_errno("cannot make the sandbox's namespaces");
  }
  control_inside.reset();
  status.write.reset();
  const pid_t pid = spawned.pid;
  const int control_fd = control.get();
  auto sandbox = std::make_unique<NativeSandbox>(
      std::move(spawned), std::move(control), std::move(status.read), std::move(cgroup), std::move(warnings));
  if (user_namespace) {
    try {
      if (!enters) write_id_maps(maps, pid);
    } catch (const Error& error) {
      sandbox.reset();
      if (maps.how == IdMaps::How::Tools) return make(spec, streams, extra_flags);  // plans without them now
      throw error.because("cannot map users into the sandbox");
    }
    const wire::Request go{wire::Ask::Go, 0};
    ::send(control_fd, &go, sizeof go, MSG_NOSIGNAL);
  }
  sandbox->await_start();
  return sandbox;
}

}  // namespace kiln::steps
