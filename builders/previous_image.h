#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "builders/layer_writer.h"
#include "registry/image.h"

namespace kiln::builders {

// A launch layer of an image that was exported before, as the image's own label tells it.
struct PreviousLayer {
  Layer layer;  // its uncompressed size is not known
  bool launch = false, build = false, cache = false;
  nlohmann::json metadata;
};
using PreviousBuildpack = std::map<std::string, PreviousLayer>;   // by layer
using PreviousLayers = std::map<std::string, PreviousBuildpack>;  // by buildpack id

inline constexpr const char* kLifecycleLabel = "io.buildpacks.lifecycle.metadata";

// Only those whose blob the store still has. Nothing when there is no image, or its label is not what a
// lifecycle writes: all is then made anew.
PreviousLayers previous_layers(const std::optional<registry::Image>& previous, const registry::Store& store);

}  // namespace kiln::builders
