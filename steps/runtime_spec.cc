#include "steps/runtime_spec.h"

#include <nlohmann/json.hpp>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/text.h"
#include "steps/capabilities.h"
#include "steps/seccomp_profile.h"
#include "steps/wire.h"

namespace kiln::steps {
namespace {

using Json = nlohmann::ordered_json;

#if defined(__x86_64__)
const Json kArchitectures = Json::array({"SCMP_ARCH_X86_64", "SCMP_ARCH_X86"});
#elif defined(__aarch64__)
const Json kArchitectures = Json::array({"SCMP_ARCH_AARCH64"});
#endif

Json process_of(const SandboxSpec& spec) {
  Json user{{"uid", spec.uid}, {"gid", spec.gid}};
  if (!spec.groups.empty()) user["additionalGids"] = spec.groups;
  Json names = Json::array();
  const uint64_t keep = spec.uid == 0 ? spec.capabilities.value_or(wire::kRootCapabilities) : 0;
  for (unsigned bit = 0; bit < 64; ++bit)
    if (keep >> bit & 1) names.push_back(capability_name(bit));
  const Json none = Json::array();
  return {{"terminal", false},
          {"user", user},
          {"args", spec.args},
          {"env", spec.env},
          {"cwd", spec.cwd.native()},
          {"capabilities",
           {{"bounding", names},
            {"effective", names},
            {"permitted", names},
            {"inheritable", none},
            {"ambient", none}}},
          {"noNewPrivileges", true}};
}

Json mount(const char* destination, const char* type, const char* source, std::vector<std::string> options) {
  return {{"destination", destination}, {"type", type}, {"source", source}, {"options", std::move(options)}};
}

// These runtimes take a path only: where it leads now.
fs::path source_of(const Mount& mount) {
  if (mount.within.empty()) return mount.source;
  return fs::read_symlink("/proc/self/fd/" + std::to_string(open_source(mount.source, mount.within).get()));
}

Json mounts_of(const SandboxSpec& spec) {
  Json mounts = Json::array();
  mounts.push_back(mount("/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}));
  mounts.push_back(
      mount("/dev", "tmpfs", "tmpfs", {"nosuid", "noexec", "strictatime", "mode=755", "size=65536k"}));
  mounts.push_back(mount("/dev/pts", "devpts", "devpts",
                         {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}));
  mounts.push_back(
      mount("/dev/shm", "tmpfs", "shm", {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}));
  mounts.push_back(mount("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}));
  mounts.push_back(mount("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}));
  for (const Mount& m : spec.mounts) {
    const bool read_only = m.read_only || m.kind == Mount::Kind::Copy;
    if (m.kind == Mount::Kind::Tmpfs) {
      char mode[16];
      std::snprintf(mode, sizeof mode, "mode=%o", m.mode);
      mounts.push_back(
          mount(m.destination.c_str(), "tmpfs", "tmpfs",
                {"nosuid", "nodev", mode, "size=" + std::to_string(m.size ? m.size : 64u << 20)}));
    } else {
      mounts.push_back(mount(m.destination.c_str(), "bind", source_of(m).c_str(),
                             {"rbind", "rprivate", "nosuid", "nodev", read_only ? "rro" : "rw"}));
      if (read_only) mounts.back()["options"].push_back("ro");
    }
  }
  return mounts;
}

Json seccomp() {
  Json allowed = Json::array();
  for (const char* name : allowed_system_calls()) allowed.push_back(name);
  const auto argument = [](uint64_t value, const char* op, uint64_t value_two = 0) {
    return Json::array({{{"index", 0}, {"value", value}, {"valueTwo", value_two}, {"op", op}}});
  };
  Json calls = Json::array();
  calls.push_back({{"names", allowed}, {"action", "SCMP_ACT_ALLOW"}});
  for (const uint64_t persona : {0ul, 0x0008ul, 0x20000ul, 0x20008ul, 0xfffffffful})
    calls.push_back({{"names", {"personality"}},
                     {"action", "SCMP_ACT_ALLOW"},
                     {"args", argument(persona, "SCMP_CMP_EQ")}});
  calls.push_back({{"names", {"clone"}},
                   {"action", "SCMP_ACT_ALLOW"},
                   {"args", argument(0x7E020000, "SCMP_CMP_MASKED_EQ")}});  // no CLONE_NEW… flag
  calls.push_back({{"names", {"clone3"}}, {"action", "SCMP_ACT_ERRNO"}, {"errnoRet", 38}});
  // Not AF_VSOCK: of the 32 bits that the kernel looks at, one at least is another. SCMP_CMP_NE would compare
  // 64, and there is no masked one.
  for (unsigned bit = 0; bit < 32; ++bit) {
    const uint64_t mask = uint64_t{1} << bit;
    calls.push_back({{"names", {"socket"}},
                     {"action", "SCMP_ACT_ALLOW"},
                     {"args", argument(mask, "SCMP_CMP_MASKED_EQ", ~uint64_t{AF_VSOCK} & mask)}});
  }
  return {{"defaultAction", "SCMP_ACT_ERRNO"},
          {"defaultErrnoRet", 1},
          {"architectures", kArchitectures},
          {"syscalls", calls}};
}

Json resources_of(const Resources& wanted) {
  Json resources{{"devices", Json::array({{{"allow", false}, {"access", "rwm"}}})}};
  if (wanted.memory_bytes)
    resources["memory"] = {{"limit", wanted.memory_bytes}, {"swap", wanted.memory_bytes}};
  if (wanted.pids) resources["pids"] = {{"limit", wanted.pids}};
  if (wanted.cpus > 0)
    resources["cpu"] = {{"quota", static_cast<int64_t>(wanted.cpus * 100'000)}, {"period", 100'000}};
  return resources;
}

}  // namespace

std::string runtime_spec(const SandboxSpec& spec, const std::filesystem::path& root) {
  Json namespaces = Json::array();
  for (const char* type : {"mount", "pid", "ipc", "uts", "cgroup"}) namespaces.push_back({{"type", type}});
  if (spec.network != Network::Host) {
    Json network{{"type", "network"}};
    if (spec.network_namespace >= 0)
      network["path"] =
          "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(spec.network_namespace);
    namespaces.push_back(std::move(network));
  }
  const Json document{
      {"ociVersion", "1.0.2"},
      {"process", process_of(spec)},
      {"root", {{"path", root.native()}, {"readonly", spec.rootfs.read_only}}},
      {"hostname", spec.hostname},
      {"mounts", mounts_of(spec)},
      {"linux",
       {{"namespaces", namespaces},
        // One level only: the runtimes remove the group itself and no parent.
        {"cgroupsPath", "/kiln-" + replace_all(spec.id, "/", "-")},
        {"resources", resources_of(spec.resources)},
        {"seccomp", seccomp()},
        {"maskedPaths",
         {"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
          "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
          "/sys/devices/virtual/powercap"}},
        {"readonlyPaths", {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}}}}};
  // Paths and arguments may be any bytes; a document cannot hold them all.
  return document.dump(2, ' ', false, Json::error_handler_t::replace);
}

}  // namespace kiln::steps
