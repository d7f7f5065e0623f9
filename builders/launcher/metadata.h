#pragma once

#include <map>
#include <string>
#include <vector>

namespace kiln::launcher {

struct Process {
  std::string type;
  std::vector<std::string> command, args;
  std::string working_dir;
};

struct Metadata {
  std::vector<std::string> buildpacks;  // escaped ids, in group order
  std::vector<Process> processes;
};

// /layers/config/metadata.toml. On failure false, and `error` says why.
bool read_metadata(const std::string& file, Metadata& out, std::string& error);

// What an exec.d program wrote: TOML with string values only.
bool read_variables(const std::string& text, std::map<std::string, std::string>& out, std::string& error);

}  // namespace kiln::launcher
