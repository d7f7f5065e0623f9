#include "builders/previous_image.h"

#include <algorithm>

#include "registry/store/store.h"

namespace kiln::builders {

using nlohmann::json;

PreviousLayers previous_layers(const std::optional<registry::Image>& previous, const registry::Store& store) {
  if (!previous) return {};
  const auto label = previous->config.labels.find(kLifecycleLabel);
  if (label == previous->config.labels.end()) return {};
  PreviousLayers found;
  try {
    const auto& diff_ids = previous->config.diff_ids;
    const json document = json::parse(label->second);
    for (const json& buildpack : document.at("buildpacks"))
      for (const auto& [name, about] : buildpack.at("layers").items()) {
        const auto diff_id = Digest::parse(about.at("sha").get<std::string>());
        const auto at = diff_id ? std::ranges::find(diff_ids, *diff_id) : diff_ids.end();
        const auto index = static_cast<size_t>(at - diff_ids.begin());
        if (at == diff_ids.end() || index >= previous->manifest.layers.size()) continue;
        const registry::Descriptor& blob = previous->manifest.layers[index];
        if (!store.keep(blob.digest) || name.empty() || name == "." || name == ".." ||
            name.find('/') != std::string::npos || name.find('\0') != std::string::npos)
          continue;
        found[buildpack.at("key").get<std::string>()][name] = {
            Layer{blob, *diff_id, 0}, about.value("launch", false), about.value("build", false),
            about.value("cache", false), about.value("data", json())};
      }
  } catch (const json::exception&) {
    return {};
  }
  return found;
}

}  // namespace kiln::builders
