#include "builders/layers.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/toml.h"
#include "builders/documents.h"

namespace kiln::builders {
namespace {

using nlohmann::json;

constexpr std::string_view kSuffix = ".toml";
constexpr uint64_t kFileLimit = 4 << 20;
constexpr uint64_t kVariableLimit = 128 << 10;  // MAX_ARG_STRLEN: a longer one cannot be handed to a process

// Files in a buildpack's layers folder that describe no layer.
bool is_reserved(const std::string& name) {
  return name == "build" || name == "launch" || name == "store";
}

// "<layers>/…/." and ".." are not folders of this buildpack.
bool is_path_step(const std::string& name) {
  return name == "." || name == "..";
}

struct LayerFile {
  std::string layer, file;
};

std::vector<LayerFile> layer_files(const OpenFolder& folder) {
  std::vector<LayerFile> files;
  for (const std::string& name : folder.names())
    if (name.size() > kSuffix.size() && name.ends_with(kSuffix))
      files.push_back({name.substr(0, name.size() - kSuffix.size()), name});
  return files;
}

json read_layer_file(const OpenFolder& folder, const std::string& file) {
  try {
    return parse_toml(folder.read(file, kFileLimit).value_or(""), (folder.path().filename() / file).string());
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::Invalid)
      throw Error(ErrorKind::Failed, error.full(), "the buildpack wrote it");
    throw;
  }
}

}  // namespace

std::vector<BuildpackLayer> read_layers(const OpenFolder& folder) {
  const std::string buildpack = folder.path().filename().string();
  std::vector<BuildpackLayer> layers;
  for (const auto& [name, file] : layer_files(folder)) {
    if (is_path_step(name) || (is_reserved(name) && folder.find_folder(name)))
      throw Error(ErrorKind::Failed, buildpack + ": \"" + name + "\" is no layer name",
                  "build, launch and store are reserved by the buildpack specification");
    if (is_reserved(name)) continue;
    const json document = read_layer_file(folder, file);
    BuildpackLayer layer{.name = name};
    read_document(ErrorKind::Failed, buildpack + "/" + file, [&] {
      const json types = document.value("types", json::object());
      layer.launch = types.value("launch", false);
      layer.build = types.value("build", false);
      layer.cache = types.value("cache", false);
      layer.metadata = document.value("metadata", json()).dump();
    });
    layers.push_back(std::move(layer));
  }
  std::ranges::sort(layers, {}, &BuildpackLayer::name);  // "a-b.toml" comes before "a.toml", "a" before "a-b"
  return layers;
}

void restore_layers(const OpenFolder& folder, const PreviousBuildpack& previous) {
  std::map<std::string, json> kept;  // layer → its file, for those whose content stays
  for (const BuildpackLayer& layer : read_layers(folder)) {
    // Metadata without the content it speaks of would make a buildpack believe that its work is done.
    if (!layer.cache || !folder.find_folder(layer.name)) continue;
    json document = read_layer_file(folder, layer.name + std::string(kSuffix));
    document.erase("types");
    kept[layer.name] = std::move(document);
  }
  for (const std::string& name : folder.names())
    if (!kept.contains(name) && name != "store.toml") folder.remove(name);
  for (const auto& [name, layer] : previous)
    if (layer.launch && !layer.build && !layer.cache && !kept.contains(name) && !is_reserved(name))
      kept[name] = layer.metadata.is_object() ? json{{"metadata", layer.metadata}} : json::object();
  for (const auto& [name, document] : kept) folder.write(name + std::string(kSuffix), to_toml(document));
}

void apply_build_layer(EnvMap& env, const OpenFolder& layer, const std::string& shown) {
  const auto has_folder = [&](const char* name) {
    const auto st = layer.stat(name);
    // Where a link leads is for the sandbox to say: its paths are not ours.
    return st && (S_ISDIR(st->st_mode) || S_ISLNK(st->st_mode));
  };
  apply_layer_root(env, has_folder, shown, true);
  for (const char* name : {"env", "env.build"}) {
    const auto folder = layer.find_folder(name);
    if (!folder) continue;
    EnvFiles files;
    for (const std::string& file : folder->names()) {
      const auto st = folder->stat(file);
      if (!st || S_ISDIR(st->st_mode)) continue;
      std::string value = folder->read(file, kVariableLimit).value_or("");
      if (value.find('\0') != std::string::npos)
        throw Error(ErrorKind::Failed, (folder->path() / file).string() + " holds a NUL byte",
                    "no environment variable can");
      files.emplace(file, std::move(value));
    }
    apply_env_files(env, files);
  }
}

}  // namespace kiln::builders
