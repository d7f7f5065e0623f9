#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"

namespace CLI {
class App;
class ParseError;
}  // namespace CLI
namespace kiln::registry {
class ImageAliases;
}

namespace kiln::cli {

// Makes every flag of every verb also settable as KILN_<FLAG> ("--dry-run" → KILN_DRY_RUN).
void add_environment_names(CLI::App& app);

// The arguments after the program's name, `--name=` written as two words: the parser would take the next word
// for the value, where a Task that passes `--revision=$(params.revision)` means the empty one.
std::vector<std::string> arguments_of(int argc, char** argv);

// What the words that were typed got wrong, with the next step; `app` has tried to parse them.
Error usage_error(const CLI::App& app, const CLI::ParseError& problem);

// Throws Invalid for a name at the top of a config.toml that is no flag of any verb and no table.
void check_setting_names(const CLI::App& app, const nlohmann::json& settings,
                         const std::filesystem::path& file);

// "name=value", as `flag` was given it; throws Usage when there is no name or no "=".
std::pair<std::string, std::string> split_pair(const std::string& flag, const std::string& pair);

// Puts settings of a config.toml into the environment as KILN_<FLAG>, unless set there already: so flags win
// over environment, environment over the project's file, that over the user's. Only plain values at the top
// level count; lists are append_lists()'s, tables belong to others. Returns the whole file; a missing one is
// an empty object, a malformed one throws Invalid.
nlohmann::json load_settings(const std::filesystem::path& file);

// The same of a project's file, which whoever wrote the project has written: what widens the rights of its
// pipelines, names other folders or belongs to the server is refused (Invalid).
nlohmann::json load_project_settings(const std::filesystem::path& file);

// Lists at the top of a config.toml, for flags that may be given several times: appended to `words`, the
// command line, unless it or the environment gives that flag. Throws Invalid for a flag that takes one value.
void append_lists(const CLI::App& app, const nlohmann::json& settings, const std::filesystem::path& file,
                  std::vector<std::string>& words);

// The folder that --root gives, or KILN_ROOT, before options are parsed.
std::optional<std::string> root_of(const std::vector<std::string>& words);

// Adds the table [images] of `settings`, as load_settings() read it from `file`. Throws Invalid.
void add_image_aliases(registry::ImageAliases& aliases, const nlohmann::json& settings,
                       const std::filesystem::path& file);

}  // namespace kiln::cli
