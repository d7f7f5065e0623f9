#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"

namespace kiln::steps {

// Where the sandbox's root comes from.
struct Rootfs {
  std::vector<std::filesystem::path> lowers;  // snapshots, topmost first; one folder alone is fine
  // Where changes go. Empty: a tmpfs of the sandbox's own that vanishes with it. Otherwise `<upper>/upper`
  // and `<upper>/work` are used and kept, so that the next sandbox sees what this one wrote.
  std::filesystem::path upper;
  bool host = false;  // the machine's own root, read-only (image: kiln, image: host); lowers are ignored
  bool read_only = false;
};

struct Mount {
  // Copy: the bytes of `source`, a file, for the sandbox's user alone, where nothing is at `destination` yet
  // (and the place can be written). No mount, so that programs can replace the file. Runtimes of others get a
  // read-only bind instead.
  enum class Kind { Bind, Tmpfs, Copy } kind = Kind::Bind;
  std::filesystem::path source;       // host path (Bind, Copy)
  std::filesystem::path destination;  // inside; made when missing (in the upper layer)
  bool read_only = false;
  uint64_t size = 0;  // Tmpfs: bytes, 0 = 64 MiB
  unsigned mode = 01777;
  // What belongs to the source's owner belongs to the sandbox's user inside, and what the sandbox's user
  // makes belongs to that owner outside (an idmapped mount). So a step need not be root to write a workspace.
  // Where the kernel or the file system cannot do it, owners stay as they are.
  bool owned_by_step = false;
  // A folder above `source` (Bind) that it must not leave when links on the way are followed; what is below
  // was written by steps. Empty: all of the path is trusted.
  std::filesystem::path within{};
};

// A mount's source, held open where it is now. Throws Invalid when it leads out, NotFound.
UniqueFd open_source(const std::filesystem::path& source, const std::filesystem::path& within);

enum class Network {
  Host,
  None,
  Private
};  // Private: own namespace, loopback up, reachable by Sandbox::dial
// "host", "none", "private".
std::string_view to_string(Network network);
std::optional<Network> network_named(std::string_view name);

struct Resources {  // 0 = no limit
  uint64_t memory_bytes = 0;
  uint64_t pids = 0;
  double cpus = 0;
};

// What to run and in which world. A value; `runtime_spec()` renders it as an OCI runtime-spec 1.0 document,
// which is what runc and crun get.
struct SandboxSpec {
  std::string id;  // for cgroup and messages; unique on the machine
  Rootfs rootfs;
  std::vector<Mount> mounts;  // in order; /proc, /dev, /sys, /dev/shm are always there
  std::string hostname = "kiln";
  Network network = Network::Host;
  // Network::Private or None: join this namespace (network_namespace.h) rather than have one. Borrowed.
  int network_namespace = -1;
  int network_owner = -1;  // the user namespace it belongs to, when that is not ours. Borrowed.
  std::vector<std::string> args;
  std::vector<std::string> env;  // "NAME=value"; nothing is inherited
  std::filesystem::path cwd = "/";
  bool make_cwd = true;
  uint32_t uid = 0, gid = 0;
  std::vector<uint32_t> groups;
  // What user 0 keeps, as a mask of capability bits (capabilities.h); not given: wire::kRootCapabilities.
  std::optional<uint64_t> capabilities;
  // Trusted code of our own (image: kiln): keeps all capabilities, no seccomp filter, so that it can make
  // sandboxes itself. From a user's document (`privileged`) only when the user allowed it by flag.
  bool trusted = false;
  Resources resources;
};

struct ExitStatus {
  int code = 0;  // 128 + signal when killed
  bool out_of_memory = false;
  bool started = true;  // false: exec failed; code is 127 or 126 and `message` says why
  std::string message;
  std::chrono::nanoseconds run_time{};  // from exec to exit, as PID 1 saw it
};

// File descriptors the process gets; -1 is /dev/null. Borrowed for the call of start() only.
struct Streams {
  int in = -1, out = -1, err = -1;
};

// A running sandbox. Its destruction kills everything inside and unmounts; so does the death of this process
// for whatever reason. Methods may be called from any thread.
class Sandbox {
 public:
  virtual ~Sandbox() = default;
  virtual ExitStatus wait() = 0;  // blocks until the process has ended
  // Readable once the process has ended: for event loops. wait() then returns at once.
  virtual int exit_fd() const = 0;
  virtual void signal(int number) = 0;  // to the main process
  virtual void kill() = 0;              // SIGKILL to all inside
  // A connected-to-be TCP socket that lives in the sandbox's network namespace (Network::Private);
  // non-blocking, not yet connected. The caller connects it to 127.0.0.1:port.
  virtual UniqueFd dial_socket() = 0;
  // Runs a command beside the main process, as its user and with its environment, and throws its output away.
  // The exit code, 128 + signal when killed, 126 or 127 when it could not be started; nullopt when `timeout`
  // (0: none) was over, and it was killed, or when the main process has ended. One call at a time.
  virtual std::optional<int> exec(const std::vector<std::string>& args, std::chrono::nanoseconds timeout) = 0;
  // Whether it is known already that the process could not be exec'ed; wait() has the reason.
  virtual bool never_started() const { return false; }
  // What was asked for and could not be had (a limit without its cgroup), one sentence each; for the log.
  virtual std::vector<std::string> warnings() const { return {}; }
};

// Makes sandboxes. Thread-safe.
class SandboxRuntime {
 public:
  virtual ~SandboxRuntime() = default;
  // Returns when the process was exec'ed, or with Sandbox::wait() saying `started == false`.
  // Throws Infrastructure when the sandbox itself could not be made; the hint says what the machine lacks.
  virtual std::unique_ptr<Sandbox> start(const SandboxSpec& spec, const Streams& streams) = 0;
};

// `name` is "native", "runc" or "crun"; throws Usage for others and Infrastructure when not installed.
// `runtime_dir` is for sockets and mount points.
std::unique_ptr<SandboxRuntime> make_runtime(std::string_view name, const std::filesystem::path& runtime_dir);

struct RunResult {
  ExitStatus status;
  bool cancelled = false;
  bool timed_out = false;
  std::vector<std::string> warnings;  // Sandbox::warnings
};
// A sandbox that was started with both its output streams read by us.
class SandboxRun {
 public:
  // Throws as SandboxRuntime::start does.
  SandboxRun(SandboxRuntime& runtime, const SandboxSpec& spec);
  // Ends what still runs.
  ~SandboxRun();
  Sandbox& sandbox() { return *sandbox_; }
  // Pumps both streams and waits for the end, once. A stop request sends SIGTERM, then SIGKILL after `grace`;
  // a request of `kill` SIGKILL at once, also while the grace goes on.
  // `on_output(is_stderr, bytes)` runs on the calling thread. A `timeout` of zero is none.
  RunResult to_end(const std::function<void(bool, std::string_view)>& on_output, std::stop_token stop = {},
                   std::chrono::nanoseconds timeout = {},
                   std::chrono::nanoseconds grace = std::chrono::seconds(10), std::stop_token kill = {});

 private:
  UniqueFd out_, err_;  // the ends to read
  std::unique_ptr<Sandbox> sandbox_;
};

// SandboxRun and to_end in one.
RunResult run_to_end(SandboxRuntime& runtime, const SandboxSpec& spec,
                     const std::function<void(bool, std::string_view)>& on_output, std::stop_token stop = {},
                     std::chrono::nanoseconds timeout = {},
                     std::chrono::nanoseconds grace = std::chrono::seconds(10), std::stop_token kill = {});

// Why sandboxes cannot be made here, empty if they can: for `kiln doctor` and for a first clear message.
std::string sandbox_problem();

}  // namespace kiln::steps
