#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace kiln::builders {

// One layer a buildpack made: `<layers>/<buildpack>/<name>/` and `<name>.toml`
// (Buildpack specification, "Layer Types").
struct BuildpackLayer {
  std::string name;
  std::filesystem::path folder;  // may be missing: a launch-only layer that was not made anew
  bool launch = false, build = false, cache = false;
  std::string metadata;  // [metadata], as JSON text; "null" when there is none
};

// The layers in a buildpack's folder, in order of name. Throws Failed for the reserved names.
std::vector<BuildpackLayer> read_layers(const std::filesystem::path& buildpack_layers);

// Before a build, from what the last one left: cached layers keep content and metadata, launch layers keep
// metadata, everything else goes; [types] are cleared so that the buildpack has to claim the layer again.
void restore_layers(const std::filesystem::path& buildpack_layers);

}  // namespace kiln::builders
