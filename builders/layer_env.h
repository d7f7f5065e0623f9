#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>

// What a buildpack's layers do to the environment of later buildpacks and of the launched process
// (Buildpack specification, "Environment"). Standard library only: the launcher inside images uses it too.
namespace kiln::builders {

using EnvMap = std::map<std::string, std::string>;

// bin → PATH (and, when building, lib → LIBRARY_PATH, include → CPATH, pkgconfig → PKG_CONFIG_PATH;
// lib → LD_LIBRARY_PATH always), each prepended. `has_folder` tells whether the layer has a folder of this
// name, `shown` is the layer's path as written into the values.
void apply_layer_root(EnvMap& env, const std::function<bool(const char*)>& has_folder,
                      const std::string& shown, bool building);

// The files of one env/ folder by name, with their raw bytes: NAME.append, .prepend, .override, .default,
// .delim; a bare NAME overrides (`bare_prepends` for Buildpack API < 0.5).
using EnvFiles = std::map<std::string, std::string>;
void apply_env_files(EnvMap& env, const EnvFiles& files, bool bare_prepends = false);

// The same from a folder whose content may be trusted, as in the image itself: links are followed, and what
// is missing does nothing.
void apply_layer_root(EnvMap& env, const std::filesystem::path& folder, bool building);
void apply_env_folder(EnvMap& env, const std::filesystem::path& folder);

}  // namespace kiln::builders
