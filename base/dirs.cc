#include "base/dirs.h"

#include <cstdlib>
#include <pwd.h>
#include <string>
#include <unistd.h>

#include "base/error.h"

namespace kiln {
namespace {

// HOME, or what the machine's table of users says.
std::filesystem::path home() {
  if (const char* value = std::getenv("HOME"); value && value[0] == '/') return value;
  char text[16 << 10];
  passwd entry, *found = nullptr;
  if (::getpwuid_r(::geteuid(), &entry, text, sizeof text, &found) == 0 && found && found->pw_dir &&
      found->pw_dir[0] == '/')
    return found->pw_dir;
  throw Error(ErrorKind::Usage, "nothing says where this user's files are", "set HOME, or use --root DIR");
}

std::filesystem::path xdg(const char* variable, const char* fallback_below_home) {
  if (const char* value = std::getenv(variable); value && value[0] == '/')
    return std::filesystem::path(value) / "kiln";
  return home() / fallback_below_home / "kiln";
}

}  // namespace

Dirs Dirs::under(const std::filesystem::path& given) {
  std::error_code problem;
  const std::filesystem::path root = std::filesystem::absolute(given, problem).lexically_normal();
  if (problem) throw_errno(problem.value(), "cannot tell which folder " + given.string() + " is");
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
