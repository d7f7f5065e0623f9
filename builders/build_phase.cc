#include "builders/build_phase.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/fs.h"
#include "base/toml.h"

namespace kiln::builders {
namespace {

using nlohmann::json;

std::vector<std::string> strings(const json& object, const char* key) {
  std::vector<std::string> out;
  if (!object.contains(key)) return out;
  if (object[key].is_string()) return {object[key].get<std::string>()};
  for (const json& item : object[key]) out.push_back(item.get<std::string>());
  return out;
}

void read_launch_file(const fs::path& file, const Buildpack& buildpack, BuildOutput& output) {
  if (!fs::exists(file)) return;
  const json document = parse_toml(read_file(file, 4 << 20), buildpack.full_name() + " launch.toml");
  for (const json& entry : document.value("processes", json::array())) {
    Process process{.type = entry.value("type", ""),
                    .command = strings(entry, "command"),
                    .args = strings(entry, "args"),
                    .working_dir = entry.value("working-dir", ""),
                    .buildpack_id = buildpack.id,
                    .is_default = entry.value("default", false)};
    if (process.type.empty() || process.type.find('/') != std::string::npos || process.command.empty())
      throw Error(ErrorKind::Failed, buildpack.full_name() + ": launch.toml has a process without a type or command");
    if (process.is_default)
      for (Process& earlier : output.processes) earlier.is_default = false;
    std::erase_if(output.processes, [&](const Process& p) { return p.type == process.type; });
    output.processes.push_back(std::move(process));
  }
  for (const json& label : document.value("labels", json::array()))
    output.labels[label.value("key", "")] = label.value("value", "");
}

// What the build layers of the buildpacks before this one do to its environment.
void apply_build_layers(EnvMap& env, const std::vector<BuiltBuildpack>& before) {
  for (const BuiltBuildpack& built : before)
    for (const BuildpackLayer& layer : built.layers) {
      if (!layer.build) continue;
      const std::string shown = std::string(kLayersDir) + "/" + built.buildpack->escaped_id() + "/" + layer.name;
      apply_layer_root(env, layer.folder, shown, true);
      apply_env_folder(env, layer.folder / "env");
      apply_env_folder(env, layer.folder / "env.build");
    }
}

}  // namespace

BuildOutput run_build(const BuildRoom& room, const DetectedGroup& group, const BuildLog& log) {
  // Layers of buildpacks that no longer take part are of no use to anyone.
  for (const auto& entry : fs::directory_iterator(room.layers()))
    if (std::ranges::none_of(group.buildpacks, [&](const DetectedGroup::Member& member) {
          return member.buildpack->escaped_id() == entry.path().filename().string();
        }))
      remove_tree(entry.path());

  BuildOutput output;
  for (const DetectedGroup::Member& member : group.buildpacks) {
    const Buildpack& buildpack = *member.buildpack;
    const fs::path layers = room.layers(buildpack);
    restore_layers(layers);
    make_dirs(layers);
    room.give(layers);

    const std::string name = "build-" + buildpack.escaped_id();
    write_file(room.exchange(name) / "plan.toml", plan_document(member.entries));
    const std::string plan = BuildRoom::exchange_inside(name) + "/plan.toml";
    const std::string layers_inside = std::string(kLayersDir) + "/" + buildpack.escaped_id();
    EnvMap env = room.base_env(buildpack);
    apply_build_layers(env, output.buildpacks);
    env["CNB_LAYERS_DIR"] = layers_inside;
    env["CNB_BP_PLAN_PATH"] = plan;

    OnExit discard([&] {
      try {
        remove_tree(layers);
      } catch (const Error&) {  // the lock file's "unfinished" mark makes the next build start clean
      }
    });
    const auto outcome = room.run(buildpack, "bin/build", {layers_inside, kPlatformDir, plan}, env,
                                  [&](std::string_view line) { log(buildpack.id, line); });
    if (outcome.exit_code != 0)
      throw Error(ErrorKind::Failed,
                  buildpack.full_name() + ": bin/build failed with exit code " + std::to_string(outcome.exit_code),
                  "its output above says why");
    BuiltBuildpack built{&buildpack, read_layers(layers)};
    read_launch_file(layers / "launch.toml", buildpack, output);
    discard.dismiss();
    output.buildpacks.push_back(std::move(built));
  }
  return output;
}

}  // namespace kiln::builders
