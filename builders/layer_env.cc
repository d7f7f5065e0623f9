#include "builders/layer_env.h"

#include <fstream>
#include <iterator>
#include <system_error>

namespace kiln::builders {
namespace {

namespace fs = std::filesystem;

std::string content_of(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void prepend(EnvMap& env, const std::string& name, const std::string& value, const std::string& delimiter) {
  std::string& current = env[name];
  current = current.empty() ? value : value + delimiter + current;
}

}  // namespace

void apply_layer_root(EnvMap& env, const fs::path& folder, const std::string& shown, bool building) {
  const auto add = [&](const char* sub, const char* variable) {
    std::error_code error;
    if (fs::is_directory(folder / sub, error)) prepend(env, variable, shown + "/" + sub, ":");
  };
  add("bin", "PATH");
  add("lib", "LD_LIBRARY_PATH");
  if (!building) return;
  add("lib", "LIBRARY_PATH");
  add("include", "CPATH");
  add("pkgconfig", "PKG_CONFIG_PATH");
}

void apply_env_folder(EnvMap& env, const fs::path& folder, bool bare_prepends) {
  std::error_code error;
  std::map<std::string, fs::path> files;  // sorted, so that the order is the same on every file system
  for (const auto& entry : fs::directory_iterator(folder, error))
    if (entry.is_regular_file(error)) files.emplace(entry.path().filename().string(), entry.path());
  for (const auto& [file_name, path] : files) {
    const size_t dot = file_name.rfind('.');
    const std::string suffix = dot == std::string::npos ? "" : file_name.substr(dot + 1);
    const std::string name = file_name.substr(0, dot);
    const auto delim = files.find(name + ".delim");
    const std::string delimiter = delim == files.end() ? "" : content_of(delim->second);
    const std::string value = content_of(path);
    if (suffix.empty() && bare_prepends) prepend(env, name, value, ":");
    else if (suffix.empty() || suffix == "override") env[name] = value;
    else if (suffix == "default") env.try_emplace(name, value);
    else if (suffix == "prepend") prepend(env, name, value, delimiter);
    else if (suffix == "append") env[name] = env[name].empty() ? value : env[name] + delimiter + value;
  }
}

}  // namespace kiln::builders
