#pragma once

#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "base/fs.h"
#include "steps/sandbox.h"
#include "steps/user_namespace.h"

namespace kiln::steps {

// A small root for tests: its own /etc, and the host's programs from /usr, mounted read-only.
class World {
 public:
  World();
  // A sandbox that runs `sh -c script`.
  SandboxSpec shell(std::string script) const;
  SandboxSpec command(std::vector<std::string> args) const;
  SandboxRuntime& runtime() { return *runtime_; }
  const fs::path& folder() const { return folder_.path(); }
  const fs::path& rootfs() const { return rootfs_; }

  struct Ran {
    ExitStatus status;
    std::string out, err;
    std::vector<std::string> warnings;
  };
  Ran run(const SandboxSpec& spec);
  Ran run(std::string script) { return run(shell(std::move(script))); }

 private:
  TempDir folder_;
  fs::path rootfs_;
  std::unique_ptr<SandboxRuntime> runtime_;
};

// The processes of this machine whose command line contains `needle`.
std::vector<pid_t> processes_with(const std::string& needle);

// How long processes of a test sleep: several suites run at the same time, and each must find its own.
std::string seconds_of(pid_t test);

#define KILN_NEEDS_ROOT() \
  if (needs_user_namespace()) GTEST_SKIP() << "needs root of the machine"

// Every test of sandboxes starts with this.
#define KILN_NEEDS_SANDBOX()                                           \
  if (const std::string problem = sandbox_problem(); !problem.empty()) \
  GTEST_SKIP() << "no sandboxes here: " << problem

}  // namespace kiln::steps
