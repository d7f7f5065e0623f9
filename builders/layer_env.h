#pragma once

#include <filesystem>
#include <map>
#include <string>

// What a buildpack's layers do to the environment of later buildpacks and of the launched process
// (Buildpack specification, "Environment"). Standard library only: the launcher inside images uses it too.
namespace kiln::builders {

using EnvMap = std::map<std::string, std::string>;

// bin → PATH (and, when building, lib → LIBRARY_PATH, include → CPATH, pkgconfig → PKG_CONFIG_PATH;
// lib → LD_LIBRARY_PATH always), each prepended. `folder` is read, `shown` is the path written.
void apply_layer_root(EnvMap& env, const std::filesystem::path& folder, const std::string& shown, bool building);

// One env/ folder: files NAME.append, .prepend, .override, .default, .delim; a bare NAME overrides
// (`bare_prepends` for Buildpack API < 0.5). Contents are raw bytes. A missing folder does nothing.
void apply_env_folder(EnvMap& env, const std::filesystem::path& folder, bool bare_prepends = false);

}  // namespace kiln::builders
