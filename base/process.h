#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

#include "base/unique_fd.h"

namespace kiln {

using Environment = std::map<std::string, std::string>;

// This process's own environment.
Environment current_environment();

// One host program to run (git, mmdebstrap, newuidmap, …). Never a shell.
struct Command {
  std::vector<std::string> argv;           // argv[0] is looked up in PATH
  std::optional<Environment> environment;  // default: ours
  std::filesystem::path directory;         // default: ours
  std::string input;                       // fed to stdin; empty = /dev/null
};

struct Finished {
  int exit_code = 0;   // 128 + signal when killed
  std::string output;  // stdout, unless streamed
  std::string errors;  // stderr's last 64 KiB
  bool ok() const { return exit_code == 0; }
};

// Runs until the program has ended and nobody holds its streams any more. `on_output`, if given, receives
// stdout as it comes instead of `output`. A stop request sends SIGTERM to the child's process group, SIGKILL
// 5 s later or a moment after the child's own end, and throws Cancelled; who left the group is not waited
// for. Throws Infrastructure when the program cannot be started (the hint names the program).
Finished run(const Command& command, const std::function<void(std::string_view)>& on_output = {},
             std::stop_token stop = {});

// Full path of a program in PATH.
std::optional<std::filesystem::path> find_program(std::string_view name);

}  // namespace kiln
