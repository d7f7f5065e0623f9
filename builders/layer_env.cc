#include "builders/layer_env.h"

#include <fstream>
#include <iterator>
#include <system_error>

namespace kiln::builders {
namespace {

namespace fs = std::filesystem;

void prepend(EnvMap& env, const std::string& name, const std::string& value, const std::string& delimiter) {
  std::string& current = env[name];
  current = current.empty() ? value : value + delimiter + current;
}

void append(EnvMap& env, const std::string& name, const std::string& value, const std::string& delimiter) {
  std::string& current = env[name];
  current = current.empty() ? value : current + delimiter + value;
}

}  // namespace

void apply_layer_root(EnvMap& env, const std::function<bool(const char*)>& has_folder,
                      const std::string& shown, bool building) {
  const auto add = [&](const char* sub, const char* variable) {
    if (has_folder(sub)) prepend(env, variable, shown + "/" + sub, ":");
  };
  add("bin", "PATH");
  add("lib", "LD_LIBRARY_PATH");
  if (!building) return;
  add("lib", "LIBRARY_PATH");
  add("include", "CPATH");
  add("pkgconfig", "PKG_CONFIG_PATH");
}

void apply_env_files(EnvMap& env, const EnvFiles& files, bool bare_prepends) {
  for (const auto& [file_name, value] : files) {
    const size_t dot = file_name.find('.');
    const std::string suffix = dot == std::string::npos ? "" : file_name.substr(dot + 1);
    const std::string name = file_name.substr(0, dot);
    if (name.empty() || name.find('=') != std::string::npos) continue;  // no process can have it
    const auto delim = files.find(name + ".delim");
    const std::string delimiter = delim == files.end() ? "" : delim->second;
    if (dot == std::string::npos && bare_prepends)
      prepend(env, name, value, ":");
    else if (dot == std::string::npos || suffix == "override")
      env[name] = value;
    else if (suffix == "default")
      env[name] = env[name].empty() ? value : env[name];
    else if (suffix == "prepend")
      prepend(env, name, value, delimiter);
    else if (suffix == "append")
      append(env, name, value, delimiter);
  }
}

void apply_layer_root(EnvMap& env, const fs::path& folder, bool building) {
  std::error_code error;
  apply_layer_root(
      env, [&](const char* sub) { return fs::is_directory(folder / sub, error); }, folder.string(), building);
}

void apply_env_folder(EnvMap& env, const fs::path& folder) {
  std::error_code error;
  EnvFiles files;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (!entry.is_regular_file(error)) continue;
    std::ifstream in(entry.path(), std::ios::binary);
    files.emplace(entry.path().filename().string(), std::string(std::istreambuf_iterator<char>(in), {}));
  }
  apply_env_files(env, files);
}

}  // namespace kiln::builders
