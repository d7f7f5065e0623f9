#include "registry/platform.h"

#include "base/error.h"
#include "base/text.h"
#include "registry/image.h"

namespace kiln::registry {

namespace {

// Other people's names for Go's, as Docker takes them.
struct Synonym {
  std::string_view name, architecture, variant;
};
constexpr Synonym kSynonyms[] = {{"x86_64", "amd64", ""}, {"x86-64", "amd64", ""}, {"aarch64", "arm64", ""},
                                 {"armhf", "arm", "v7"},  {"armel", "arm", "v6"},  {"i386", "386", ""},
                                 {"i486", "386", ""},     {"i586", "386", ""},     {"i686", "386", ""}};

Platform normal(Platform platform) {
  for (const Synonym& synonym : kSynonyms) {
    if (platform.architecture != synonym.name) continue;
    platform.architecture = synonym.architecture;
    if (platform.variant.empty()) platform.variant = synonym.variant;
  }
  if (platform.os == "macos") platform.os = "darwin";
  std::string& variant = platform.variant;
  if (variant.size() == 1 && variant[0] >= '0' && variant[0] <= '9') variant.insert(0, "v");
  if (platform.architecture == "arm64" && variant == "v8") variant.clear();  // there is no other
  return platform;
}

}  // namespace

Platform Platform::parse(std::string_view text) {
  const std::vector<std::string> parts = split(to_lower(text), '/');
  bool good = parts.size() == 2 || parts.size() == 3;
  for (const std::string& part : parts)
    good = good && !part.empty() &&
           part.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_.-") == std::string::npos;
  if (!good)
    throw Error(ErrorKind::Usage, "\"" + std::string(text) + "\" is no platform",
                "write OS/ARCHITECTURE[/VARIANT], e.g. linux/arm64");
  return normal({parts[0], parts[1], parts.size() == 3 ? parts[2] : ""});
}

Platform Platform::of_machine() {
  return {"linux", machine_architecture(), ""};
}

std::string Platform::text() const {
  return os + "/" + architecture + (variant.empty() ? "" : "/" + variant);
}

}  // namespace kiln::registry
