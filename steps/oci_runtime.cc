#include "steps/oci_runtime.h"

#include <atomic>
#include <cerrno>
#include <fcntl.h>
#include <linux/openat2.h>
#include <mutex>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/open_folder.h"
#include "base/process.h"
#include "base/spawn.h"
#include "base/text.h"
#include "steps/child.h"
#include "steps/runtime_spec.h"
#include "steps/user_namespace.h"

namespace kiln::steps {
namespace {

void remove_bundle(const fs::path& bundle) {
  ::umount2((bundle / "rootfs").c_str(), MNT_DETACH);
  ::umount2((bundle / "own").c_str(), MNT_DETACH);
  try_remove_tree(bundle);  // else the next start tries again
}

void mount_or_throw(const char* type, const fs::path& target, const std::string& options) {
  if (::mount(type, target.c_str(), type, MS_NODEV, options.c_str()) != 0)
    throw_errno("cannot mount the sandbox's root at " + target.string());
}

void mount_root(const SandboxSpec& spec, const fs::path& bundle) {
  fs::path place = spec.rootfs.upper;
  if (place.empty()) {
    place = bundle / "own";
    make_dirs(place);
    mount_or_throw("tmpfs", place, "mode=0755");
  }
  for (const char* name : {"upper", "work"}) make_dirs(place / name);
  std::vector<std::string> lowers;
  for (const fs::path& lower : spec.rootfs.lowers) lowers.push_back(lower.native());
  const std::string options = "lowerdir=" + join(lowers, ":") + ",upperdir=" + (place / "upper").native() +
                              ",workdir=" + (place / "work").native();
  if (options.size() >= 4096)
    throw Error(ErrorKind::Infrastructure, "this image has too many layers for runc's root",
                "run it with --sandbox=native");
  make_dirs(bundle / "rootfs");
  mount_or_throw("overlay", bundle / "rootfs", options);
}

constexpr const char* kFirstProcess = "pid";  // of a bundle: its number, as the runtime writes it

pid_t start_program(const std::vector<std::string>& argv, const Streams& streams) {
  Command command;
  command.argv = argv;
  const int fds[] = {streams.in, streams.out, streams.err};
  return spawn(command, fds);
}

// Of a program just started, which ends if that cannot be had.
UniqueFd pidfd_of(pid_t pid) {
  UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (pidfd) return pidfd;
  const int error = errno;
  ::kill(-pid, SIGKILL);
  reap(pid);
  throw_errno(error, "cannot watch a program");
}

class OciSandbox final : public Sandbox {
 public:
  OciSandbox(std::string program, std::string id, fs::path bundle, pid_t pid, UniqueFd pidfd)
      : program_(std::move(program)),
        id_(std::move(id)),
        bundle_(std::move(bundle)),
        pid_(pid),
        pidfd_(std::move(pidfd)) {}
  ~OciSandbox() override {
    if (!exit_) {
      kill();
      wait();
    }
    delete_container();
    remove_bundle(bundle_);
  }

  ExitStatus wait() override {
    const std::lock_guard lock(mutex_);
    if (exit_) return *exit_;
    ExitStatus exit{.code = reap(pid_)};
    exit.run_time = std::chrono::steady_clock::now() - started_;
    if (std::string problem = start_problem(); !problem.empty()) {
      exit.started = false;
      exit.code = problem.find("permission denied") != std::string::npos ? 126 : 127;
      exit.message = std::move(problem);
    }
    exit_ = exit;
    return exit;
  }
  int exit_fd() const override { return pidfd_.get(); }
  // The runtime passes signals on to the process it runs.
  void signal(int number) override { ::syscall(SYS_pidfd_send_signal, pidfd_.get(), number, nullptr, 0); }
  void kill() override { delete_container(); }
  UniqueFd dial_socket() override {
    throw Error(ErrorKind::Infrastructure, program_ + " sandboxes cannot be dialled", "use --sandbox=native");
  }
  std::optional<int> exec(const std::vector<std::string>& args, std::chrono::nanoseconds timeout) override {
    std::vector<std::string> words{program_, "--root", (bundle_ / "state").native(), "exec", id_};
    words.insert(words.end(), args.begin(), args.end());
    const pid_t pid = start_program(words, {});
    const UniqueFd ended = pidfd_of(pid);
    const bool late = !readable_within(ended.get(), timeout);
    if (late) ::kill(-pid, SIGKILL);
    const int code = reap(pid);
    return late ? std::nullopt : std::optional(code);
  }

 private:
  // Destructors and stop callbacks end sandboxes, too, where nothing may be thrown.
  void delete_container() noexcept {
    try {
      run({{program_, "--root", (bundle_ / "state").native(), "delete", "--force", id_}});
    } catch (const std::exception&) {  // not installed any more, or no descriptor is left to start it
      end_without_runtime();
    }
  }
  // The first process of the container, with which the kernel ends the others, and who waits for it.
  void end_without_runtime() noexcept {
    constexpr auto kNow = std::chrono::nanoseconds(1);
    if (readable_within(pidfd_.get(), kNow)) return;  // it has ended
    try {
      const pid_t first = static_cast<pid_t>(std::stol(read_file(bundle_ / kFirstProcess, 64)));
      if (first > 1) ::kill(first, SIGKILL);
    } catch (const std::exception&) {  // it had not come so far
    }
    signal(SIGKILL);
  }
  // The runtime's own errors are in its log; what the process wrote is in its streams.
  std::string start_problem() const {
    try {
      for (const std::string& line : split(read_file(bundle_ / "log"), '\n'))
        if (line.find("level=error") != std::string::npos ||
            line.find("\"level\":\"error\"") != std::string::npos)
          return program_ + ": " + line;
    } catch (const Error&) {
    }
    return {};
  }

  std::string program_, id_;
  fs::path bundle_;
  pid_t pid_;
  UniqueFd pidfd_;
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  std::mutex mutex_;
  std::optional<ExitStatus> exit_;
};

// The folders of a path as a process with this root would see it, links of the image included.
void make_inside(const fs::path& root, const fs::path& path) {
  const UniqueFd top = open_file(root, O_PATH | O_DIRECTORY);
  const auto open_inside = [&](const fs::path& at) {
    return open_resolved(top.get(), at.native(), O_PATH | O_DIRECTORY,
                         RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
  };
  fs::path above;
  for (const fs::path& part : path) {
    if (!open_inside(above / part))
      if (const UniqueFd parent = open_inside(above); parent) ::mkdirat(parent.get(), part.c_str(), 0755);
    above /= part;
  }
}

}  // namespace

OciRuntime::OciRuntime(std::string program, const fs::path& runtime_dir)
    : program_(std::move(program)), native_(runtime_dir) {
  if (!find_program(program_))
    throw Error(ErrorKind::Infrastructure, program_ + " is not installed",
                "apt-get install " + program_ + ", or use --sandbox=native");
  if (needs_user_namespace())
    throw Error(ErrorKind::Infrastructure, "--sandbox=" + program_ + " needs root",
                "use --sandbox=native, which does not");
  const fs::path all = runtime_dir / "oci";
  make_dirs(all, 0700);
  for (const auto& entry : fs::directory_iterator(all)) {
    const pid_t owner = static_cast<pid_t>(std::strtol(entry.path().filename().c_str(), nullptr, 10));
    if (owner > 0 && owner != ::getpid() && ::kill(owner, 0) != 0 && errno == ESRCH) {
      for (const auto& bundle : fs::directory_iterator(entry.path())) remove_bundle(bundle.path());
      fs::remove(entry.path());
    }
  }
  folder_ = fs::canonical(all) / std::to_string(::getpid());
  make_dirs(folder_, 0700);
}

OciRuntime::~OciRuntime() {
  ::rmdir(folder_.c_str());
}

std::unique_ptr<Sandbox> OciRuntime::start(const SandboxSpec& spec, const Streams& streams) {
  if (spec.trusted || spec.rootfs.host) return native_.start(spec, streams);
  static std::atomic<unsigned> serial = 0;
  const fs::path bundle = folder_ / std::to_string(serial++);
  make_dirs(bundle);
  OnExit undo([&] { remove_bundle(bundle); });
  mount_root(spec, bundle);
  if (spec.make_cwd) make_inside(bundle / "rootfs", spec.cwd.relative_path());
  write_file(bundle / "config.json", runtime_spec(spec, bundle / "rootfs"));
  const std::string id = "kiln-" + std::to_string(::getpid()) + "-" + bundle.filename().native();
  const pid_t pid =
      start_program({program_, "--root", (bundle / "state").native(), "--log", (bundle / "log").native(),
                     "run", "--pid-file", (bundle / kFirstProcess).native(), "--bundle", bundle.native(), id},
                    streams);
  UniqueFd pidfd = pidfd_of(pid);
  undo.dismiss();
  return std::make_unique<OciSandbox>(program_, id, bundle, pid, std::move(pidfd));
}

}  // namespace kiln::steps
