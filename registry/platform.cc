#include "registry/platform.h"

#include "base/error.h"
#include "base/text.h"
#include "registry/image.h"

namespace kiln::registry {

Platform Platform::parse(std::string_view text) {
  const std::vector<std::string> parts = split(text, '/');
  bool good = parts.size() == 2 || parts.size() == 3;
  for (const std::string& part : parts)
    good = good && !part.empty() &&
           part.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_.") == std::string::npos;
  if (!good)
    throw Error(ErrorKind::Usage, "\"" + std::string(text) + "\" is no platform",
                "write OS/ARCHITECTURE[/VARIANT], e.g. linux/arm64");
  return {parts[0], parts[1], parts.size() == 3 ? parts[2] : ""};
}

Platform Platform::of_machine() {
  return {"linux", machine_architecture(), ""};
}

std::string Platform::text() const {
  return os + "/" + architecture + (variant.empty() ? "" : "/" + variant);
}

}  // namespace kiln::registry
