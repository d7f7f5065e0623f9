#include "steps/sandbox_description.h"

#include <algorithm>
#include <span>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/fs.h"
#include "steps/idmap.h"
#include "steps/seccomp_profile.h"
#include "steps/wire.h"

namespace kiln::steps {
namespace {

class SpecWriter {
 public:
  template <class T>
  void put(std::span<const T> values) {
    bytes_.append(reinterpret_cast<const char*>(values.data()), values.size_bytes());
  }
  // A NUL inside would shift everything after it.
  void text(std::string_view value) {
    if (value.find('\0') != std::string_view::npos)
      throw Error(ErrorKind::Invalid,
                  "a NUL byte in a command, variable or path: " + std::string(value.data()));
    bytes_.append(value).push_back('\0');
  }
  void texts(const std::vector<std::string>& values) {
    for (const std::string& value : values) text(value);
  }
  UniqueFd finish() const {
    UniqueFd fd(::memfd_create("kiln-sandbox-spec", MFD_CLOEXEC));
    if (!fd) throw_errno("cannot describe the sandbox");
    write_all(fd.get(), bytes_, "cannot describe the sandbox");
    return fd;
  }

 private:
  std::string bytes_;
};

// The user namespace to map a mount's owners with, -1 for none. Not for trusted steps: what they mount on for
// their own sandboxes could not be mapped a second time.
int idmap_of(const Mount& mount, const SandboxSpec& spec) {
  if (!mount.owned_by_step || spec.trusted || mount.kind != Mount::Kind::Bind) return -1;
  struct stat st;
  try {
    if (::fstat(open_source(mount.source, mount.within).get(), &st) != 0) return -1;
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::Invalid) throw;
    return -1;  // the sandbox program says what it is
  }
  const Owner on_disk{st.st_uid, st.st_gid}, inside{spec.uid, spec.gid};
  return on_disk == inside ? -1 : swapping_user_namespace(on_disk, inside);
}

wire::MountKind kind_of(const Mount& mount) {
  switch (mount.kind) {
    case Mount::Kind::Tmpfs:
      return wire::MountKind::Tmpfs;
    case Mount::Kind::Copy:
      return wire::MountKind::Copy;
    case Mount::Kind::Bind:
      break;
  }
  return wire::MountKind::Bind;
}

}  // namespace

bool joins_network(const SandboxSpec& spec) {
  return spec.network != Network::Host && spec.network_namespace >= 0;
}

UniqueFd describe_sandbox(const SandboxSpec& spec, uint32_t flags, const fs::path& mount_point,
                          const Cgroup* cgroup, int first_idmap, std::vector<int>& idmaps) {
  std::vector<wire::MountEntry> mounts;
  for (const Mount& mount : spec.mounts) {
    const int fd = flags & wire::kUserNamespace ? -1 : idmap_of(mount, spec);
    auto at = std::find(idmaps.begin(), idmaps.end(), fd);
    if (fd >= 0 && at == idmaps.end()) at = idmaps.insert(at, fd);
    const int inside = fd < 0 ? -1 : first_idmap + static_cast<int>(at - idmaps.begin());
    const size_t trusted = mount.within.native().size();
    const uint64_t below = trusted && mount.source.native().size() > trusted ? trusted + 1 : 0;
    mounts.push_back({kind_of(mount), mount.read_only, mount.mode, inside, mount.size, below});
  }
  const std::span<const sock_filter> seccomp =
      spec.trusted ? std::span<const sock_filter>() : seccomp_program();
  const std::vector<fs::path> none;
  const std::vector<fs::path>& lowers = spec.rootfs.host ? none : spec.rootfs.lowers;
  const wire::Header header{
      .flags = flags,
      .uid = spec.uid,
      .gid = spec.gid,
      .groups = static_cast<uint32_t>(spec.groups.size()),
      .lowers = static_cast<uint32_t>(lowers.size()),
      .mounts = static_cast<uint32_t>(spec.mounts.size()),
      .args = static_cast<uint32_t>(spec.args.size()),
      .env = static_cast<uint32_t>(spec.env.size()),
      .seccomp = static_cast<uint32_t>(seccomp.size()),
      .cgroups = cgroup ? static_cast<uint32_t>(cgroup->procs().size()) : 0,
      .network_fd =
          joins_network(spec) && spec.network_owner < 0 ? first_idmap + static_cast<int>(idmaps.size()) : -1,
      .capabilities = spec.capabilities.value_or(wire::kRootCapabilities),
  };
  SpecWriter writer;
  writer.put(std::span(&header, 1));
  writer.put(std::span<const wire::MountEntry>(mounts));
  writer.put(seccomp);
  writer.put(std::span<const uint32_t>(spec.groups));
  writer.text(mount_point.native());
  writer.text(spec.rootfs.upper.native());
  writer.text(spec.hostname);
  writer.text(spec.cwd.native());
  writer.text(cgroup ? cgroup->name() : "");
  for (const fs::path& lower : lowers) writer.text(lower.native());
  for (const Mount& mount : spec.mounts) {
    writer.text(mount.source.native());
    writer.text(mount.destination.native());
  }
  writer.texts(spec.args);
  writer.texts(spec.env);
  return writer.finish();
}

}  // namespace kiln::steps
