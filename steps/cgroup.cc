#include "steps/cgroup.h"

#include <algorithm>
#include <fcntl.h>
#include <map>
#include <sstream>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/text.h"

namespace kiln::steps {
namespace {

// Where this process stands in each hierarchy: controller → folder; the v2 tree under "".
std::map<std::string, fs::path> own_groups() {
  std::map<std::string, std::pair<fs::path, std::string>> mounts;  // controller → mount point, its root
  std::istringstream mountinfo(read_file("/proc/self/mountinfo"));
  for (std::string line; std::getline(mountinfo, line);) {
    const size_t dash = line.find(" - cgroup");
    if (dash == std::string::npos) continue;
    const std::vector<std::string> left = split(line.substr(0, dash), ' ');
    const std::vector<std::string> right = split(line.substr(dash + 3), ' ');
    if (left.size() < 5 || right.size() < 3) continue;
    if (right[0] == "cgroup2")
      mounts[""] = {left[4], left[3]};
    else
      for (const std::string& option : split(right[2], ',')) mounts[option] = {left[4], left[3]};
  }
  std::map<std::string, fs::path> groups;
  std::istringstream own(read_file("/proc/self/cgroup"));
  for (std::string line; std::getline(own, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    std::string path = line.substr(second + 1);
    for (const std::string& controller : split(line.substr(first + 1, second - first - 1), ',')) {
      const auto mount = mounts.find(controller);
      if (mount == mounts.end()) continue;
      // Inside a container the mount may show only a part of the tree.
      const std::string& root = mount->second.second;
      if (root != "/" && path.starts_with(root)) path.erase(0, root.size());
      groups[controller] = mount->second.first / fs::path(path).relative_path();
    }
  }
  return groups;
}

bool is_there(const fs::path& path) {
  return ::access(path.c_str(), F_OK) == 0;
}

bool write_limit(const fs::path& file, const std::string& value) {
  const UniqueFd fd(::open(file.c_str(), O_WRONLY | O_CLOEXEC));
  return fd && ::write(fd.get(), value.data(), value.size()) == static_cast<ssize_t>(value.size());
}

// v2 hands a controller down only along a path without processes of its own, except at the root.
bool has_controller(const fs::path& folder, std::string_view controller) {
  try {
    const std::vector<std::string> list = split(trim(read_file(folder / "cgroup.controllers")), ' ');
    return std::find(list.begin(), list.end(), controller) != list.end();
  } catch (const Error&) {
    return false;
  }
}

// The nearest folder at or above `own` where we may make groups that have `controller`.
std::optional<fs::path> v2_parent(fs::path own, const std::string& controller) {
  for (; is_there(own / "cgroup.procs"); own = own.parent_path()) {
    if (!has_controller(own, controller) || ::access(own.c_str(), W_OK) != 0) continue;
    if (write_limit(own / "cgroup.subtree_control", "+" + controller)) return own;
  }
  return std::nullopt;
}

}  // namespace

// Makes (or finds) the group for a controller; empty with a warning when that cannot be.
fs::path Cgroup::enter(std::string_view controller, std::vector<std::string>& warnings, const char* what) {
  static const std::map<std::string, fs::path> own = own_groups();
  std::optional<fs::path> parent;
  const auto v1 = own.find(std::string(controller));
  const auto v2 = own.find("");
  if (v1 != own.end())
    parent = v1->second;
  else if (v2 != own.end())
    parent = v2_parent(v2->second, std::string(controller));
  const auto refuse = [&](const std::string& why) {
    warnings.push_back(std::string(what) + " is not limited: " + why);
    return fs::path();
  };
  if (!parent) return refuse("no cgroup with the " + std::string(controller) + " controller is ours to use");

  const fs::path shared = *parent / "kiln", folder = shared / name_;
  // The shared folder goes away with its last group, perhaps just now.
  for (int attempt = 0; ::mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST; ++attempt) {
    if (errno != ENOENT || attempt == 100 || (::mkdir(shared.c_str(), 0755) != 0 && errno != EEXIST))
      return refuse("cannot make " + folder.string() + ": " + std::generic_category().message(errno));
  }
  if (v1 == own.end()) write_limit(shared / "cgroup.subtree_control", "+" + std::string(controller));
  for (const Group& group : groups_)
    if (group.folder == folder) return folder;
  Group group{folder, UniqueFd(::open((folder / "cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC)),
              UniqueFd(::open(shared.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC))};
  if (!group.procs || !group.parent) return refuse("cannot use " + folder.string());
  groups_.push_back(std::move(group));
  return folder;
}

Cgroup::Cgroup(std::string_view id, const Resources& resources, std::vector<std::string>& warnings)
    : name_(replace_all(std::string(id), "/", "-")) {
  const auto check = [&](bool done, const char* what) {
    if (!done) warnings.push_back(std::string(what) + " is not limited: the kernel refused the value");
  };
  if (resources.memory_bytes) {
    if (const fs::path folder = enter("memory", warnings, "memory"); !folder.empty()) {
      const std::string bytes = std::to_string(resources.memory_bytes);
      if (is_there(folder / "memory.max")) {
        check(write_limit(folder / "memory.max", bytes), "memory");
        write_limit(folder / "memory.swap.max", "0");
      } else {
        check(write_limit(folder / "memory.limit_in_bytes", bytes), "memory");
        write_limit(folder / "memory.memsw.limit_in_bytes", bytes);  // absent without swap accounting
      }
      memory_ = folder;
    }
  }
  if (resources.pids)
    if (const fs::path folder = enter("pids", warnings, "the number of processes"); !folder.empty())
      check(write_limit(folder / "pids.max", std::to_string(resources.pids)), "the number of processes");
  if (resources.cpus > 0)
    if (const fs::path folder = enter("cpu", warnings, "CPU time"); !folder.empty()) {
      constexpr long kPeriod = 100'000;  // microseconds, the kernel's own default
      const std::string quota = std::to_string(std::max(1000L, static_cast<long>(resources.cpus * kPeriod)));
      check(is_there(folder / "cpu.max")
                ? write_limit(folder / "cpu.max", quota + " " + std::to_string(kPeriod))
                : write_limit(folder / "cpu.cfs_quota_us", quota),
            "CPU time");
    }
}

std::vector<int> Cgroup::procs() const {
  std::vector<int> fds;
  for (const Group& group : groups_) fds.push_back(group.procs.get());
  return fds;
}

std::vector<int> Cgroup::parents() const {
  std::vector<int> fds;
  for (const Group& group : groups_) fds.push_back(group.parent.get());
  return fds;
}

bool Cgroup::out_of_memory() const {
  if (memory_.empty()) return false;
  for (const char* name : {"memory.events", "memory.oom_control"}) {
    if (!is_there(memory_ / name)) continue;
    std::istringstream lines(read_file(memory_ / name));
    std::string key;
    for (uint64_t value; lines >> key >> value;)
      if (key == "oom_kill") return value > 0;
  }
  return false;
}

void Cgroup::remove() {
  for (const Group& group : groups_) {
    ::rmdir(group.folder.c_str());
    ::rmdir(group.folder.parent_path().c_str());  // refused while others are in it
  }
  groups_.clear();
}

}  // namespace kiln::steps
