#include "builders/build_phase.h"

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/fs.h"
#include "base/toml.h"
#include "builders/documents.h"

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

bool is_process_type(const std::string& type) {  // it becomes a file name in the image
  return !type.empty() && type != "." && type != ".." && std::ranges::all_of(type, [](unsigned char c) {
    return std::isalnum(c) || c == '.' || c == '_' || c == '-';
  });
}

json read_toml(const OpenFolder& layers, const std::string& file, const Buildpack& buildpack) {
  try {
    return parse_toml(layers.read(file, 4 << 20).value_or(""), buildpack.full_name() + " " + file);
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::Invalid)
      throw Error(ErrorKind::Failed, error.full(), "the buildpack wrote it");
    throw;
  }
}

void add_process(const json& entry, const Buildpack& buildpack, BuildOutput& output) {
  Process process{.type = entry.value("type", ""),
                  .command = strings(entry, "command"),
                  .args = strings(entry, "args"),
                  .working_dir = entry.value("working-dir", ""),
                  .buildpack_id = buildpack.id,
                  .is_default = entry.value("default", false)};
  if (!is_process_type(process.type) || process.command.empty())
    throw Error(ErrorKind::Failed,
                buildpack.full_name() + ": launch.toml has a process without a command, or with \"" +
                    process.type + "\" for a type",
                "types are letters, digits, \".\", \"_\" and \"-\"");
  if (process.is_default)
    for (Process& earlier : output.processes) earlier.is_default = false;
  std::erase_if(output.processes, [&](const Process& p) { return p.type == process.type; });
  output.processes.push_back(std::move(process));
}

void read_launch_file(const OpenFolder& layers, const Buildpack& buildpack, BuildOutput& output) {
  const json document = read_toml(layers, "launch.toml", buildpack);
  read_document(ErrorKind::Failed, buildpack.full_name() + " launch.toml", [&] {
    for (const json& entry : document.value("processes", json::array()))
      add_process(entry, buildpack, output);
    for (const json& label : document.value("labels", json::array())) {
      const std::string key = label.value("key", "");
      if (key.empty())
        throw Error(ErrorKind::Failed, buildpack.full_name() + ": launch.toml has a label without a key");
      output.labels[key] = label.value("value", "");
    }
  });
}

// The first buildpack that gets a plan's entry meets it, unless it names it in build.toml's [[unmet]]
// (Buildpack specification, "Unmet Buildpack Plan Entries").
void note_met(const OpenFolder& layers, const DetectedGroup::Member& member, std::set<std::string>& met) {
  const json document = read_toml(layers, "build.toml", *member.buildpack);
  read_document(ErrorKind::Failed, member.buildpack->full_name() + " build.toml", [&] {
    std::set<std::string> unmet;
    for (const json& entry : document.value("unmet", json::array())) unmet.insert(entry.value("name", ""));
    for (const json& entry : member.entries)
      if (const std::string name = entry.value("name", ""); !unmet.contains(name)) met.insert(name);
  });
}

std::vector<json> still_unmet(const std::vector<json>& entries, const std::set<std::string>& met) {
  std::vector<json> left;
  for (const json& entry : entries)
    if (!met.contains(entry.value("name", ""))) left.push_back(entry);
  return left;
}

// What the build layers of the buildpacks before this one do to its environment.
void apply_build_layers(EnvMap& env, const BuildRoom& room, const std::vector<BuiltBuildpack>& before) {
  for (const BuiltBuildpack& built : before)
    for (const BuildpackLayer& layer : built.layers) {
      const auto folder = layer.build ? room.layer(*built.buildpack, layer.name) : std::nullopt;
      if (folder)
        apply_build_layer(env, *folder,
                          std::string(kLayersDir) + "/" + built.buildpack->escaped_id() + "/" + layer.name);
    }
}

}  // namespace

BuildOutput run_build(const BuildRoom& room, const DetectedGroup& group, const PreviousLayers& previous,
                      const BuildLog& log) {
  // Layers of buildpacks that no longer take part are of no use to anyone.
  for (const auto& entry : fs::directory_iterator(room.layers()))
    if (std::ranges::none_of(group.buildpacks, [&](const DetectedGroup::Member& member) {
          return member.buildpack->escaped_id() == entry.path().filename().string();
        }))
      remove_tree(entry.path());

  BuildOutput output;
  std::set<std::string> met;
  for (const DetectedGroup::Member& member : group.buildpacks) {
    const Buildpack& buildpack = *member.buildpack;
    const OpenFolder layers = room.layers(buildpack);
    const auto reusable = previous.find(buildpack.id);
    restore_layers(layers, reusable == previous.end() ? PreviousBuildpack{} : reusable->second);

    const std::string name = "build-" + buildpack.escaped_id();
    room.exchange(name).write("plan.toml", plan_document(still_unmet(member.entries, met)));
    const std::string plan = BuildRoom::exchange_inside(name) + "/plan.toml";
    const std::string layers_inside = std::string(kLayersDir) + "/" + buildpack.escaped_id();
    EnvMap env = room.base_env(buildpack);
    apply_build_layers(env, room, output.buildpacks);
    room.add_user_env(buildpack, env);
    env["CNB_LAYERS_DIR"] = layers_inside;
    env["CNB_BP_PLAN_PATH"] = plan;

    OnExit discard([&] {
      try {
        OpenFolder(room.layers()).remove(buildpack.escaped_id());
      } catch (const Error&) {  // the lock file's "unfinished" mark makes the next build start clean
      }
    });
    const auto outcome = room.run(buildpack, "bin/build", name, {layers_inside, kPlatformDir, plan}, env,
                                  [&](std::string_view line) { log(buildpack.id, line); });
    if (outcome.exit_code != 0)
      throw Error(
          ErrorKind::Failed,
          buildpack.full_name() + ": bin/build failed with exit code " + std::to_string(outcome.exit_code),
          "its output above says why");
    // Opened anew: a buildpack may have put another folder in this one's place.
    const OpenFolder made = room.layers(buildpack);
    BuiltBuildpack built{&buildpack, read_layers(made)};
    read_launch_file(made, buildpack, output);
    note_met(made, member, met);
    discard.dismiss();
    output.buildpacks.push_back(std::move(built));
  }
  return output;
}

}  // namespace kiln::builders
