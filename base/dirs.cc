#include "base/dirs.h"

#include <cstdlib>
#include <string>
#include <unistd.h>

namespace kiln {
namespace {

std::filesystem::path xdg(const char* variable, const char* fallback_below_home) {
  if (const char* value = std::getenv(variable); value && value[0] == '/')
    return std::filesystem::path(value) / "kiln";
  const char* home = std::getenv("HOME");
  return std::filesystem::path(home && home[0] == '/' ? home : "/root") / fallback_below_home / "kiln";
}

}  // namespace

Dirs Dirs::under(const std::filesystem::path& given) {
  const std::filesystem::path root = std::filesystem::absolute(given).lexically_normal();
  return {root / "data", root / "state", root / "cache", root / "config", root / "run"};
}

Dirs Dirs::of_user() {
  Dirs dirs{xdg("XDG_DATA_HOME", ".local/share"),
            xdg("XDG_STATE_HOME", ".local/state"),
            xdg("XDG_CACHE_HOME", ".cache"),
            xdg("XDG_CONFIG_HOME", ".config"),
            {}};
  if (const char* value = std::getenv("XDG_RUNTIME_DIR"); value && value[0] == '/')
    dirs.runtime = std::filesystem::path(value) / "kiln";
  else
    dirs.runtime = dirs.state / "run";
  return dirs;
}

}  // namespace kiln
