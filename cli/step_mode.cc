#include "cli/step_mode.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "base/fs.h"
#include "base/text.h"
#include "registry/copy/image_place.h"

namespace kiln::cli {
namespace {

constexpr std::string_view kPaths[] = {"builder", "commit-file",   "digest-file", "file",         "folder",
                                       "from",    "metadata-file", "url-file",    "revision-file"};
constexpr std::string_view kPlaces[] = {"source", "target", "image"};
constexpr std::pair<const char*, const char*> kFixed[] = {
    {"--root", "KILN_ROOT"}, {"--sandbox", "KILN_SANDBOX"}, {"--server", "KILN_SERVER"}};

std::string name_of(const CLI::Option& option) {
  return option.get_lnames().empty() ? option.get_name(true) : option.get_lnames().front();
}

// What is wrong with a path, or nothing. Links are followed to where they lead.
std::string path_problem(const std::string& text, const std::vector<std::string>& folders) {
  if (text.empty()) return {};
  std::error_code broken;
  const fs::path path = fs::weakly_canonical(fs::absolute(text), broken);
  const bool inside = !broken && std::ranges::any_of(folders, [&](const std::string& folder) {
    return is_within(path, fs::path(folder).lexically_normal());
  });
  return inside ? "" : text + " is in no folder of this step (" + join(folders, ", ") + ")";
}

std::string place_problem(const std::string& text, const std::vector<std::string>& folders) {
  try {
    const fs::path path = registry::ImagePlace::parse(text).path;
    return path.empty() ? "" : path_problem(path, folders);
  } catch (const std::exception&) {
    return {};  // the verb says what is wrong with it
  }
}

void confine(CLI::App& app, const std::vector<std::string>& folders) {
  for (CLI::Option* option : app.get_options()) {
    const std::string name = name_of(*option);
    if (std::ranges::find(kPaths, name) != std::end(kPaths))
      option->check([folders](const std::string& text) { return path_problem(text, folders); });
    else if (std::ranges::find(kPlaces, name) != std::end(kPlaces))
      option->check([folders](const std::string& text) { return place_problem(text, folders); });
  }
  for (CLI::App* verb : app.get_subcommands([](CLI::App*) { return true; })) confine(*verb, folders);
}

}  // namespace

void confine_to_step(CLI::App& app) {
  const char* given = std::getenv("KILN_STEP");
  if (!given) return;
  for (const auto& [flag, variable] : kFixed) {
    const char* set = std::getenv(variable);
    app.get_option(flag)->check(
        [flag = std::string(flag), set = std::string(set ? set : "")](const std::string& text) {
          return text == set ? std::string() : flag + " cannot be changed by a step";
        });
  }
  confine(app, split(given, ':'));
}

}  // namespace kiln::cli
