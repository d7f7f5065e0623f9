#include "steps/capabilities.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "steps/wire.h"

namespace kiln::steps {
namespace {

// In the order of their numbers (linux/capability.h).
constexpr std::array<std::string_view, 41> kNames{"CHOWN",
                                                  "DAC_OVERRIDE",
                                                  "DAC_READ_SEARCH",
                                                  "FOWNER",
                                                  "FSETID",
                                                  "KILL",
                                                  "SETGID",
                                                  "SETUID",
                                                  "SETPCAP",
                                                  "LINUX_IMMUTABLE",
                                                  "NET_BIND_SERVICE",
                                                  "NET_BROADCAST",
                                                  "NET_ADMIN",
                                                  "NET_RAW",
                                                  "IPC_LOCK",
                                                  "IPC_OWNER",
                                                  "SYS_MODULE",
                                                  "SYS_RAWIO",
                                                  "SYS_CHROOT",
                                                  "SYS_PTRACE",
                                                  "SYS_PACCT",
                                                  "SYS_ADMIN",
                                                  "SYS_BOOT",
                                                  "SYS_NICE",
                                                  "SYS_RESOURCE",
                                                  "SYS_TIME",
                                                  "SYS_TTY_CONFIG",
                                                  "MKNOD",
                                                  "LEASE",
                                                  "AUDIT_WRITE",
                                                  "AUDIT_CONTROL",
                                                  "SETFCAP",
                                                  "MAC_OVERRIDE",
                                                  "MAC_ADMIN",
                                                  "SYSLOG",
                                                  "WAKE_ALARM",
                                                  "BLOCK_SUSPEND",
                                                  "AUDIT_READ",
                                                  "PERFMON",
                                                  "BPF",
                                                  "CHECKPOINT_RESTORE"};
constexpr uint64_t kAll = (uint64_t{1} << kNames.size()) - 1;

uint64_t mask_of(std::string_view name) {
  if (name == "ALL") return kAll;
  const auto found = std::ranges::find(kNames, name.starts_with("CAP_") ? name.substr(4) : name);
  if (found == kNames.end())
    throw Error(ErrorKind::Invalid, "there is no capability \"" + std::string(name) + "\"",
                "capabilities(7) lists them: NET_BIND_SERVICE, SYS_PTRACE, …");
  return uint64_t{1} << (found - kNames.begin());
}

}  // namespace

std::string capability_name(unsigned bit) {
  return bit < kNames.size() ? "CAP_" + std::string(kNames[bit]) : "";
}

uint64_t capability_mask(const std::vector<std::string>& add, const std::vector<std::string>& drop,
                         bool any) {
  uint64_t mask = wire::kRootCapabilities;
  for (const std::string& name : drop) mask &= ~mask_of(name);
  for (const std::string& name : add) {
    const uint64_t more = mask_of(name);
    if ((more & ~wire::kRootCapabilities) != 0 && !any)
      throw Error(ErrorKind::Invalid, "the capability " + name + " is more than a sandbox gives its steps",
                  "allow it with --allow-privileged");
    mask |= more;
  }
  return mask;
}

}  // namespace kiln::steps
