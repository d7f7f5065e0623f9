// Version constraints from documents, versions from hubs, one on each line: no order contradicts itself.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "resolvers/version.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kiln::resolvers;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t line = std::min(text.find('\n'), size);
  const auto constraint = VersionConstraint::parse(text.substr(0, line));
  const auto version = Version::parse(text.substr(std::min(line + 1, size)));
  const auto other = Version::parse(text.substr(0, line));
  if (constraint && version) (void)constraint->allows(*version);
  if (version && other && (*version < *other) != (*other > *version)) std::abort();
  if (version && !(*version == *version)) std::abort();
  return 0;
}
