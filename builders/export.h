#pragma once

#include <string>

#include "builders/build_phase.h"
#include "builders/layer_writer.h"
#include "builders/previous_image.h"
#include "registry/image.h"
#include "registry/store/store.h"

namespace kiln::builders {

// The run image, the buildpacks' launch layers, the application, the launcher, the configuration and the
// process types as one image in the store (Platform specification, "export"; layer order, tar and label rules
// there). Nothing is tagged. Layers whose tree did not change since the last export are not read again.
struct Export {
  registry::Descriptor manifest;
  std::vector<LayerReport> layers;
};
Export export_image(const BuildRoom& room, const BuildOutput& output, const registry::Image& run_image,
                    const std::string& run_image_name, const PreviousLayers& previous, registry::Store& store,
                    LayerCache& cache);

}  // namespace kiln::builders
