#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

namespace kiln::serving {

// What Kubernetes clients ask before anything else: /version, /api, /apis, and the resources of our one
// group. nullopt for paths that are none of these.
std::optional<nlohmann::json> discovery(std::string_view path);

}  // namespace kiln::serving
