#pragma once

#include <filesystem>

#include "base/process.h"

namespace kiln::registry {

// $XDG_CONFIG_HOME/containers, where podman, skopeo and buildah look first; empty without a home.
inline std::filesystem::path user_containers_folder(const Environment& environment) {
  const auto variable = [&](const char* name) -> std::filesystem::path {
    const auto it = environment.find(name);
    return it == environment.end() ? std::filesystem::path{} : std::filesystem::path(it->second);
  };
  if (const auto config = variable("XDG_CONFIG_HOME"); !config.empty()) return config / "containers";
  if (const auto home = variable("HOME"); !home.empty()) return home / ".config" / "containers";
  return {};
}

}  // namespace kiln::registry
