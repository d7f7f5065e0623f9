#pragma once

#include <filesystem>

namespace CLI {
class App;
}

namespace kiln::cli {

// Makes every flag of every verb also settable as KILN_<FLAG> ("--dry-run" → KILN_DRY_RUN).
void add_environment_names(CLI::App& app);

// Puts settings of a config.toml into the environment as KILN_<FLAG>, unless set there already: so flags win
// over environment, environment over the project's file, that over the user's. Only plain values at the top
// level count; tables belong to others. A missing file does nothing; a malformed one throws Invalid.
void load_settings(const std::filesystem::path& file);

}  // namespace kiln::cli
