#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/open_folder.h"
#include "builders/layer_env.h"
#include "builders/previous_image.h"

namespace kiln::builders {

// One layer a buildpack made: `<layers>/<buildpack>/<name>/` and `<name>.toml`
// (Buildpack specification, "Layer Types"). The folder may be missing: a launch-only layer that was not made
// anew. Nobody has looked into it yet; see open_folder.h.
struct BuildpackLayer {
  std::string name;
  bool launch = false, build = false, cache = false;
  std::string metadata;  // [metadata], as JSON text; "null" when there is none
};

// The layers in a buildpack's folder, in order of name. Throws Failed for reserved names, for files that are
// no regular ones and for TOML that does not say what a layer file says.
std::vector<BuildpackLayer> read_layers(const OpenFolder& buildpack_layers);

// Before a build: of what the last one left, cached layers keep content and metadata, everything else goes.
// The layers that the previous image has for launch only come back as their metadata alone, as that image
// tells it: it is what export will reuse. [types] are cleared, so that the buildpack has to claim each layer
// again. store.toml stays.
void restore_layers(const OpenFolder& buildpack_layers, const PreviousBuildpack& previous);

// What a build layer adds to the environment of the buildpacks after its own. `shown` is its path inside.
void apply_build_layer(EnvMap& env, const OpenFolder& layer, const std::string& shown);

}  // namespace kiln::builders
