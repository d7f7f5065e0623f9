#include "executor/pod_places.h"

#include <algorithm>
#include <sys/utsname.h>
#include <thread>
#include <unistd.h>

#include "base/fs.h"

namespace kiln::executor {
namespace {

void describe_machine(PodPlaces& places) {
  utsname name{};
  if (::uname(&name) == 0) places.node = name.nodename;
  places.cpus = std::max(1u, std::thread::hardware_concurrency());
  places.memory =
      static_cast<double>(::sysconf(_SC_PHYS_PAGES)) * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

// Absolute, without a slash at its end: to compare by parts.
fs::path normal_folder(const fs::path& path) {
  const fs::path normal = fs::absolute(path).lexically_normal();
  return normal.has_filename() || normal == normal.root_path() ? normal : normal.parent_path();
}

}  // namespace

PodPlaces pod_places(const Dirs& dirs, std::string_view id, const RunOptions& options) {
  PodPlaces places{dirs.runs() / id, dirs.runs() / id / "workspaces", dirs.state / "claims",
                   options.allow_host_image, options.network};
  places.allow_privileged = options.allow_privileged;
  for (const fs::path& path : options.host_paths) places.host_paths.push_back(normal_folder(path));
  describe_machine(places);
  return places;
}

}  // namespace kiln::executor
