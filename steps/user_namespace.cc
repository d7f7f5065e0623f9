#include "steps/user_namespace.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <fcntl.h>
#include <linux/capability.h>
#include <optional>
#include <pwd.h>
#include <sstream>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/process.h"
#include "base/text.h"

namespace kiln::steps {
namespace {

std::atomic<bool> tools_failed = false;

bool has_capabilities(uint64_t mask) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  if (::syscall(SYS_capget, &header, data) != 0) return false;
  const uint64_t effective = data[0].effective | static_cast<uint64_t>(data[1].effective) << 32;
  return (effective & mask) == mask;
}

std::string sysctl(const char* path) {
  try {
    return std::string(trim(read_file(path)));
  } catch (const Error&) {
    return {};
  }
}

constexpr uint64_t bit(int capability) {
  return uint64_t{1} << capability;
}

struct Extent {
  uint64_t inside, outside, count;
};

std::vector<Extent> read_map(const char* file) {
  std::vector<Extent> extents;
  std::istringstream lines(read_file(file));
  for (Extent e; lines >> e.inside >> e.outside >> e.count;) extents.push_back(e);
  return extents;
}

std::string line(uint64_t inside, uint64_t outside, uint64_t count) {
  return std::to_string(inside) + " " + std::to_string(outside) + " " + std::to_string(count) + "\n";
}

std::string single(uint32_t inside, uint32_t outside) {
  return line(inside, outside, 1);
}

// All ids that we have, each standing for itself; empty when `wanted` is not among them.
std::string identity(const char* file, uint32_t wanted) {
  std::string text;
  bool found = false;
  for (const Extent& e : read_map(file)) {
    text += line(e.inside, e.inside, e.count);
    found = found || (wanted >= e.inside && wanted - e.inside < e.count);
  }
  return found ? text : "";
}

// The first range that /etc/subuid or /etc/subgid gives to this user.
std::optional<Extent> subordinate_range(const char* file, uid_t user) {
  std::string content;
  try {
    content = read_file(file);
  } catch (const Error&) {
    return std::nullopt;
  }
  std::string name;
  char buffer[4096];
  passwd entry, *found = nullptr;
  if (::getpwuid_r(user, &entry, buffer, sizeof buffer, &found) == 0 && found) name = found->pw_name;
  for (const std::string& text : split(content, '\n')) {
    const std::vector<std::string> fields = split(text, ':');
    if (fields.size() != 3 || (fields[0] != name && fields[0] != std::to_string(user))) continue;
    const Extent range{0, std::strtoull(fields[1].c_str(), nullptr, 10),
                       std::strtoull(fields[2].c_str(), nullptr, 10)};
    if (range.count > 0) return range;
  }
  return std::nullopt;
}

// `mine` inside is `caller` outside; the ids below and above it come from the range, in order.
std::string around(uint32_t mine, uint32_t caller, const Extent& range) {
  const uint64_t below = std::min<uint64_t>(mine, range.count);
  std::string text = single(mine, caller);
  if (below > 0) text += line(0, range.outside, below);
  if (range.count > below) text += line(mine + 1ull, range.outside + below, range.count - below);
  return text;
}

void write_map(const std::string& file, const std::string& content) {
  UniqueFd fd = open_file(file, O_WRONLY);
  if (::write(fd.get(), content.data(), content.size()) != static_cast<ssize_t>(content.size()))
    throw_errno("cannot write " + file);
}

void run_tool(const char* tool, pid_t pid, const std::string& map) {
  Command command{{tool, std::to_string(pid)}};
  for (const std::string& word : split(replace_all(std::string(trim(map)), "\n", " "), ' '))
    command.argv.push_back(word);
  const Finished finished = run(command);
  if (!finished.ok())
    throw Error(ErrorKind::Infrastructure,
                std::string(tool) + " failed: " + std::string(trim(finished.errors)));
}

}  // namespace

bool needs_user_namespace() {
  static const bool initial = [] {
    const std::vector<Extent> map = read_map("/proc/self/uid_map");
    return map.size() == 1 && map[0].inside == 0 && map[0].outside == 0 && map[0].count == 4294967295u;
  }();
  return !initial || !has_capabilities(bit(CAP_SYS_ADMIN));
}

namespace {

// The maps for a step `uid`:`gid` that stands for `caller`; `nested`: from a namespace where those are 0 and
// the ids of the ranges come after it.
IdMaps plan(uint32_t uid, uint32_t gid, bool nested) {
  if (has_capabilities(bit(CAP_SETUID) | bit(CAP_SETGID))) {
    IdMaps maps{IdMaps::How::Direct, identity("/proc/self/uid_map", uid), identity("/proc/self/gid_map", gid),
                // An outer namespace that was denied setgroups denies it to all below.
                sysctl("/proc/self/setgroups") != "deny"};
    if (!maps.uids.empty() && !maps.gids.empty()) return maps;
  } else if (!tools_failed) {
    static const auto uids = subordinate_range("/etc/subuid", ::geteuid());
    static const auto gids = subordinate_range("/etc/subgid", ::geteuid());
    static const bool tools = find_program("newuidmap") && find_program("newgidmap");
    if (tools && uids && gids && nested)
      return {IdMaps::How::Direct, around(uid, 0, {0, 1, uids->count}), around(gid, 0, {0, 1, gids->count}),
              true};
    if (tools && uids && gids)
      return {IdMaps::How::Tools, around(uid, ::geteuid(), *uids), around(gid, ::getegid(), *gids), true};
  }
  return {IdMaps::How::Single, single(uid, nested ? 0 : ::geteuid()), single(gid, nested ? 0 : ::getegid())};
}

}  // namespace

IdMaps plan_id_maps(uint32_t uid, uint32_t gid) {
  return plan(uid, gid, false);
}

IdMaps plan_nested_id_maps(uint32_t uid, uint32_t gid) {
  return plan(uid, gid, true);
}

void write_id_maps(const IdMaps& maps, pid_t pid) {
  if (maps.how == IdMaps::How::Tools) {
    try {
      run_tool("newuidmap", pid, maps.uids);
      run_tool("newgidmap", pid, maps.gids);
      return;
    } catch (const Error& error) {
      tools_failed = true;
      throw;
    }
  }
  const std::string folder = "/proc/" + std::to_string(pid) + "/";
  if (maps.how == IdMaps::How::Single) write_map(folder + "setgroups", "deny");
  write_map(folder + "uid_map", maps.uids);
  write_map(folder + "gid_map", maps.gids);
}

Error no_user_namespaces(int errno_value) {
  std::string hint;
  if (sysctl("/proc/sys/kernel/unprivileged_userns_clone") == "0")
    hint = "allow them with `sudo sysctl -w kernel.unprivileged_userns_clone=1`";
  else if (sysctl("/proc/sys/user/max_user_namespaces") == "0")
    hint = "allow them with `sudo sysctl -w user.max_user_namespaces=15000`";
  else if (sysctl("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1")
    hint = "allow them with `sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`";
  else
    hint =
        "see the sysctls user.max_user_namespaces, kernel.unprivileged_userns_clone and "
        "kernel.apparmor_restrict_unprivileged_userns (inside a container its seccomp profile may be it)";
  return Error(ErrorKind::Infrastructure,
               "this kernel does not let ordinary users make user namespaces, which sandboxes need: " +
                   std::string(std::strerror(errno_value)),
               hint + ", or run kiln as root");
}

}  // namespace kiln::steps
