#pragma once

#include <cstdint>

// What kiln and its sandbox program (helper/) say to each other. Both come from one build and the program
// travels inside kiln, so the layout needs no version. Nothing here may need the C++ library: the program has
// none.
namespace kiln::steps::wire {

// File descriptors the program finds open, besides the step's own 0, 1 and 2.
inline constexpr int kControlFd = 3;      // SOCK_SEQPACKET to kiln: requests; its end of file is the lifeline
inline constexpr int kStatusFd = 4;       // pipe to kiln: Status records
inline constexpr int kSpecFd = 5;         // memfd: the Spec below
inline constexpr int kFirstCgroupFd = 6;  // cgroup.procs of each group, then the parent folder of each;
                                          // then user namespaces that mounts are mapped with; then the
                                          // network namespace to join

enum Flag : uint32_t {
  kUserNamespace = 1 << 0,  // new user namespace: wait for Request::Go before anything else
  kSetGroups = 1 << 1,      // the namespace's maps allow setgroups(2)
  kTrusted = 1 << 2,        // SandboxSpec::trusted
  kHostRoot = 1 << 3,       // Rootfs::host
  kReadOnlyRoot = 1 << 4,
  kMakeCwd = 1 << 5,
  kLoopback = 1 << 6,  // own network namespace: bring `lo` up
  kProbe = 1 << 7,     // only find out whether a sandbox can be made
  kNetwork = 1 << 8,   // only make a network for others to join: with kLoopback
  kHostNetwork = 1 << 9,
};

// The memfd holds, one after another: Header, mounts (MountEntry each), the seccomp program (struct
// sock_filter each), groups (uint32_t each), then NUL-terminated strings: mount point, upper, hostname, cwd,
// cgroup name, lowers…, (source, destination) of each mount…, args…, env….
struct alignas(8) Header {
  uint32_t flags;
  uint32_t uid, gid;
  uint32_t groups;
  uint32_t lowers;
  uint32_t mounts;
  uint32_t args;
  uint32_t env;
  uint32_t seccomp;  // instructions
  uint32_t cgroups;
  int32_t network_fd;     // to join; -1: none
  uint64_t capabilities;  // that user 0 keeps, as a bit mask
};

enum class MountKind : uint32_t { Bind, Tmpfs, Copy };

struct MountEntry {
  MountKind kind;
  uint32_t read_only;
  uint32_t mode;
  int32_t idmap_fd;  // a user namespace to map owners with; -1: none
  uint64_t size;
};

enum class Event : uint32_t { Started, ExecFailed, SetupFailed, Exited };

// Written with one write(2) each, small enough to be atomic in a pipe.
struct Status {
  Event event;
  int32_t code;         // ExecFailed: 126/127, SetupFailed: errno, Exited: 0–255 or 128 + signal
  int32_t error;        // ExecFailed: errno
  int64_t run_time_ns;  // Exited
  char message[240];    // ExecFailed, SetupFailed: what went wrong, NUL-terminated
};

enum class Ask : uint32_t { Go, Signal, Dial, Exec, EndExec };

// kiln → program. Dial is answered with one int32_t (0 or errno), and the socket by SCM_RIGHTS when 0. Exec
// runs a command beside the step and is answered once that has ended: its exit code, or 128 + signal, or
// kNoExec when nothing runs here any more. EndExec kills it. One Exec at a time.
struct Request {
  Ask ask;
  int32_t argument;  // Signal: its number; Exec: how many words follow, each ended by a NUL
};
inline constexpr int kNoExec = -1;
inline constexpr int kMostWords = 256;
inline constexpr unsigned kLongestRequest = 64 << 10;  // bytes, words included

// Docker's default capabilities less CAP_MKNOD (nothing here runs under a device cgroup), as a bit mask:
// chown, dac_override, fowner, fsetid, kill, setgid, setuid, setpcap, net_bind_service, net_raw, sys_chroot,
// audit_write, setfcap.
inline constexpr uint64_t kRootCapabilities = 1u << 0 | 1u << 1 | 1u << 3 | 1u << 4 | 1u << 5 | 1u << 6 |
                                              1u << 7 | 1u << 8 | 1u << 10 | 1u << 13 | 1u << 18 | 1u << 29 |
                                              1u << 31;

}  // namespace kiln::steps::wire
