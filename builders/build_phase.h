#pragma once

#include <string>
#include <vector>

#include "builders/build_room.h"
#include "builders/detect.h"
#include "builders/layers.h"

namespace kiln::builders {

// A process type of launch.toml.
struct Process {
  std::string type;
  std::vector<std::string> command;
  std::vector<std::string> args;
  std::string working_dir;
  std::string buildpack_id;
  bool is_default = false;
};

// What one buildpack's bin/build left behind.
struct BuiltBuildpack {
  const Buildpack* buildpack = nullptr;
  std::vector<BuildpackLayer> layers;
};

struct BuildOutput {
  std::vector<BuiltBuildpack> buildpacks;
  std::vector<Process> processes;  // a later buildpack's process replaces an earlier one of the same type
  std::map<std::string, std::string> labels;
};

// Runs bin/build of each buildpack of the group in order. When one fails, its layers are removed (they may be
// half made) and Failed is thrown with its exit code; layers of the ones before it stay cached.
// `previous` is what the image that is being replaced has, for buildpacks to reuse.
BuildOutput run_build(const BuildRoom& room, const DetectedGroup& group, const PreviousLayers& previous,
                      const BuildLog& log);

}  // namespace kiln::builders
