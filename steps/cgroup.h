#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"
#include "steps/sandbox.h"

namespace kiln::steps {

// The control groups of one sandbox: "kiln/<id>" below this process's own group, in each hierarchy that the
// asked-for limits need (v1 controllers, or the one v2 tree). Made only when limits are asked for.
class Cgroup {
 public:
  // What cannot be limited here is left out and said in `warnings`, one sentence each.
  Cgroup(std::string_view id, const Resources& resources, std::vector<std::string>& warnings);
  Cgroup(Cgroup&&) = default;
  ~Cgroup() { remove(); }

  const std::string& name() const { return name_; }
  // Descriptors for the sandbox program: a process that writes "0" to `procs` joins; `parents` are the
  // folders that hold `name`, so that the program can remove it when kiln is no more.
  std::vector<int> procs() const;
  std::vector<int> parents() const;
  // Whether the kernel killed a process of the group for want of memory.
  bool out_of_memory() const;
  void remove();  // once its processes are gone

 private:
  struct Group {
    std::filesystem::path folder;
    UniqueFd procs, parent;
  };
  std::filesystem::path enter(std::string_view controller, std::vector<std::string>& warnings,
                              const char* what);

  std::string name_;
  std::vector<Group> groups_;
  std::filesystem::path memory_;  // the folder that has the memory limit
};

}  // namespace kiln::steps
