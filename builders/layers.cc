#include "builders/layers.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/fs.h"
#include "base/toml.h"

namespace kiln::builders {
namespace {

using nlohmann::json;

// Files in a buildpack's layers folder that describe no layer.
bool is_reserved(const std::string& name) { return name == "build" || name == "launch" || name == "store"; }

json read_layer_file(const fs::path& file) { return parse_toml(read_file(file, 4 << 20), file.filename().string()); }

}  // namespace

std::vector<BuildpackLayer> read_layers(const fs::path& folder) {
  std::vector<BuildpackLayer> layers;
  if (!fs::is_directory(folder)) return layers;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const fs::path& path = entry.path();
    if (path.extension() != ".toml") continue;
    BuildpackLayer layer;
    layer.name = path.stem().string();
    if (is_reserved(layer.name)) {
      if (fs::is_directory(folder / layer.name))
        throw Error(ErrorKind::Failed, folder.filename().string() + ": \"" + layer.name + "\" is no layer name",
                    "build, launch and store are reserved by the buildpack specification");
      continue;
    }
    const json document = read_layer_file(path);
    const json types = document.value("types", json::object());
    layer.launch = types.value("launch", false);
    layer.build = types.value("build", false);
    layer.cache = types.value("cache", false);
    layer.metadata = document.value("metadata", json()).dump();
    layer.folder = folder / layer.name;
    layers.push_back(std::move(layer));
  }
  std::ranges::sort(layers, {}, &BuildpackLayer::name);
  return layers;
}

void restore_layers(const fs::path& folder) {
  if (!fs::is_directory(folder)) return;
  const std::vector<BuildpackLayer> layers = read_layers(folder);
  std::vector<std::string> kept;
  for (const BuildpackLayer& layer : layers) {
    const fs::path file = folder / (layer.name + ".toml");
    if (layer.cache || (layer.launch && !layer.build)) {
      if (!layer.cache) remove_tree(layer.folder);
      json document = read_layer_file(file);
      document.erase("types");
      write_file(file, to_toml(document));
      kept.push_back(layer.name + ".toml");
      if (layer.cache) kept.push_back(layer.name);
    }
  }
  kept.push_back("store.toml");
  for (const auto& entry : fs::directory_iterator(folder))
    if (std::ranges::find(kept, entry.path().filename().string()) == kept.end()) remove_tree(entry.path());
}

}  // namespace kiln::builders
