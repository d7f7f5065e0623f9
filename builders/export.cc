#include "builders/export.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sys/stat.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/open_folder.h"
#include "base/text.h"
#include "base/toml.h"
#include "builders/app_source.h"
#include "builders/tree_entries.h"

extern "C" const unsigned char kiln_launcher_program_begin[], kiln_launcher_program_end[];

namespace kiln::builders {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr const char* kPlatformApi = "0.12";
constexpr const char* kLauncherPath = "/cnb/lifecycle/launcher";
constexpr const char* kCreated = "1980-01-01T00:00:01Z";

std::string_view launcher_program() {
  return {reinterpret_cast<const char*>(kiln_launcher_program_begin),
          static_cast<size_t>(kiln_launcher_program_end - kiln_launcher_program_begin)};
}

void add_text_file(TarWriter& tar, const std::string& path, std::string_view content, uint32_t mode) {
  tar.entry({.name = path, .mode = mode, .size = content.size(), .mtime = TreeOptions{}.mtime});
  if (!content.empty()) tar.content(content);
}

// Builds the image up, layer by layer, on a run image.
class Assembly {
 public:
  Assembly(const BuildRoom& room, const registry::Image& base, registry::Store& store, LayerCache& cache)
      : room_(room), store_(store), cache_(cache), manifest(base.manifest), config(base.config) {}

  const Digest& tree(const std::string& name, const std::string& history, const OpenFolder& folder,
                     const std::string& shown, const std::string& created_by) {
    const std::string owner = std::to_string(room_.uid()) + ":" + std::to_string(room_.gid());
    const std::string key = "tree " + shown + " " + owner + " " + stat_fingerprint(folder);
    return generated(name, history, key, created_by, [&](TarWriter& tar) {
      add_parents(tar, shown);
      add_tree(tar, folder, {.prefix = shown, .uid = room_.uid(), .gid = room_.gid()});
    });
  }

  const Digest& generated(const std::string& name, const std::string& history, const std::string& key,
                          const std::string& created_by, const std::function<void(TarWriter&)>& fill) {
    bool reused = false;
    const Layer layer = store_layer(store_, cache_, key, fill, reused);
    return append(name, history, created_by, layer, reused);
  }

  const Digest& append(const std::string& name, const std::string& history, const std::string& created_by,
                       const Layer& layer, bool reused) {
    manifest.layers.push_back(layer.descriptor);
    config.diff_ids.push_back(layer.diff_id);
    config.history.push_back({.created_by = history, .comment = "", .created = kCreated});
    reports.push_back({name, created_by, layer.descriptor.size, reused});
    return config.diff_ids.back();
  }

 private:
  const BuildRoom& room_;
  registry::Store& store_;
  LayerCache& cache_;

 public:
  registry::Manifest manifest;
  registry::ImageConfig config;
  std::vector<LayerReport> reports;
};

json processes_json(const std::vector<Process>& processes) {
  json list = json::array();
  for (const Process& process : processes) {
    json entry = {{"type", process.type},
                  {"command", process.command},
                  {"args", process.args},
                  {"direct", true},
                  {"buildpack-id", process.buildpack_id}};
    if (!process.working_dir.empty()) entry["working-dir"] = process.working_dir;
    list.push_back(entry);
  }
  return list;
}

std::string launch_metadata(const BuildOutput& output) {
  json buildpacks = json::array();
  for (const BuiltBuildpack& built : output.buildpacks)
    buildpacks.push_back(
        {{"id", built.buildpack->id}, {"version", built.buildpack->version}, {"api", built.buildpack->api}});
  return to_toml({{"buildpacks", buildpacks}, {"processes", processes_json(output.processes)}});
}

// A launch layer that its buildpack did not make anew.
const Layer* find_layer(const PreviousLayers& previous, const std::string& buildpack_id,
                        const std::string& name) {
  const auto buildpack = previous.find(buildpack_id);
  if (buildpack == previous.end()) return nullptr;
  const auto layer = buildpack->second.find(name);
  return layer == buildpack->second.end() ? nullptr : &layer->second.layer;
}

void set_env(registry::ImageConfig& config, const std::string& name, const std::string& value) {
  std::erase_if(config.env, [&](const std::string& v) { return v.starts_with(name + "="); });
  config.env.push_back(name + "=" + value);
}

std::string get_env(const registry::ImageConfig& config, const std::string& name) {
  for (const std::string& variable : config.env)
    if (variable.starts_with(name + "=")) return variable.substr(name.size() + 1);
  return {};
}

}  // namespace

Export export_image(const BuildRoom& room, const BuildOutput& output, const registry::Image& run_image,
                    const std::string& run_image_name, const PreviousLayers& previous, registry::Store& store,
                    LayerCache& cache) {
  if (output.processes.empty())
    throw Error(ErrorKind::Failed, "no buildpack declared a process to launch",
                "add a start script, a Procfile or a function");
  Assembly image(room, run_image, store, cache);
  // A run image without history would leave ours misaligned with the layers.
  image.config.history.resize(std::max(image.config.history.size(), image.config.diff_ids.size()));
  const std::string top_layer = image.config.diff_ids.empty() ? "" : image.config.diff_ids.back().text();

  json metadata_buildpacks = json::array();
  for (const BuiltBuildpack& built : output.buildpacks) {
    const Buildpack& buildpack = *built.buildpack;
    json layers = json::object();
    for (const BuildpackLayer& layer : built.layers) {
      if (!layer.launch) continue;
      const std::string name = buildpack.id + ":" + layer.name;
      const std::string history =
          "Layer: '" + layer.name + "', Created by buildpack: " + buildpack.full_name();
      const std::string shown = std::string(kLayersDir) + "/" + buildpack.escaped_id() + "/" + layer.name;
      std::string sha;
      if (const auto folder = room.layer(buildpack, layer.name)) {
        sha = image.tree(name, history, *folder, shown, buildpack.full_name()).text();
      } else if (const Layer* reusable = find_layer(previous, buildpack.id, layer.name)) {
        sha = image.append(name, history, buildpack.full_name(), *reusable, true).text();
      } else {
        throw Error(ErrorKind::Failed,
                    buildpack.full_name() + " declares launch layer \"" + layer.name +
                        "\" without content, and no earlier image has it",
                    "build again with --clear-cache");
      }
      layers[layer.name] = {{"sha", sha},
                            {"launch", true},
                            {"build", layer.build},
                            {"cache", layer.cache},
                            {"data", json::parse(layer.metadata)}};
    }
    metadata_buildpacks.push_back(
        {{"key", buildpack.id}, {"version", buildpack.version}, {"layers", layers}});
  }

  const std::string app = image.tree("app", "Application Layer", OpenFolder(room.app()), kAppDir, "").text();
  const std::string launcher = image
                                   .generated("launcher", "Buildpacks Application Launcher",
                                              "launcher " + sha256(launcher_program()).text(), "",
                                              [](TarWriter& tar) {
                                                add_parents(tar, kLauncherPath);
                                                add_text_file(tar, kLauncherPath, launcher_program(), 0755);
                                              })
                                   .text();
  const std::string metadata_toml = launch_metadata(output);
  const std::string config_sha = image
                                     .generated("config", "Buildpacks Launcher Config", "", "",
                                                [&](TarWriter& tar) {
                                                  const std::string path =
                                                      std::string(kLayersDir) + "/config/metadata.toml";
                                                  add_parents(tar, path);
                                                  add_text_file(tar, path, metadata_toml, 0644);
                                                })
                                     .text();
  const std::string types_sha = image
                                    .generated("process-types", "Buildpacks Process Types", "", "",
                                               [&](TarWriter& tar) {
                                                 std::vector<std::string> types;
                                                 for (const Process& process : output.processes)
                                                   types.push_back(process.type);
                                                 std::ranges::sort(types);
                                                 add_parents(tar, "/cnb/process/x");
                                                 for (const std::string& type : types)
                                                   tar.entry({.kind = TarEntry::Kind::Symlink,
                                                              .name = "/cnb/process/" + type,
                                                              .link = kLauncherPath,
                                                              .mode = 0777,
                                                              .mtime = TreeOptions{}.mtime});
                                               })
                                    .text();

  registry::ImageConfig& config = image.config;
  config.created = kCreated;
  set_env(config, "CNB_LAYERS_DIR", kLayersDir);
  set_env(config, "CNB_APP_DIR", kAppDir);
  set_env(config, "CNB_PLATFORM_API", kPlatformApi);
  set_env(config, "CNB_DEPRECATION_MODE", "quiet");
  const std::string path = get_env(run_image.config, "PATH");  // an empty last part would mean "here"
  set_env(config, "PATH", "/cnb/process:/cnb/lifecycle" + (path.empty() ? "" : ":" + path));
  config.working_dir = kAppDir;
  config.cmd.clear();
  const auto chosen = std::ranges::find_if(output.processes, &Process::is_default);
  const auto web = std::ranges::find(output.processes, "web", &Process::type);
  const auto first = chosen != output.processes.end() ? chosen : web;
  config.entrypoint = {first != output.processes.end() ? "/cnb/process/" + first->type : kLauncherPath};
  config.exposed_ports = {"8080/tcp"};

  const json lifecycle = {{"app", json::array({{{"sha", app}}})},
                          {"buildpacks", metadata_buildpacks},
                          {"config", {{"sha", config_sha}}},
                          {"launcher", {{"sha", launcher}}},
                          {"process-types", {{"sha", types_sha}}},
                          {"runImage",
                           {{"topLayer", top_layer},
                            {"reference", run_image.descriptor.digest.text()},
                            {"image", run_image_name}}}};
  json buildpack_list = json::array();
  for (const BuiltBuildpack& built : output.buildpacks)
    buildpack_list.push_back({{"id", built.buildpack->id}, {"version", built.buildpack->version}});
  json process_list = processes_json(output.processes);
  for (json& process : process_list) {
    process["buildpackID"] = process["buildpack-id"];
    process.erase("buildpack-id");
  }
  config.labels[kLifecycleLabel] = lifecycle.dump();
  config.labels["io.buildpacks.build.metadata"] =
      json{{"buildpacks", buildpack_list}, {"processes", process_list}}.dump();
  config.labels["io.buildpacks.project.metadata"] = "{}";
  for (const auto& [key, value] : output.labels) config.labels[key] = value;

  image.manifest.media_type = std::string(registry::media::kManifest);
  image.manifest.config = store.put(registry::serialize(config), registry::media::kConfig);
  return {store.put(registry::serialize(image.manifest), registry::media::kManifest), image.reports};
}

}  // namespace kiln::builders
