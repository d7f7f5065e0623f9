// Manifests, indexes and configs come from registries that nobody vouches for.
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "registry/image.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kiln::registry;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  bool manifest_read = false;
  try {
    const std::string canonical = serialize(parse_manifest(text));
    manifest_read = true;
    if (serialize(parse_manifest(canonical)) != canonical) std::abort();
  } catch (const kiln::Error&) {
  }
  try {
    parse_index(text);
    if (manifest_read) std::abort();  // one document must never be both
  } catch (const kiln::Error&) {
  }
  try {
    const std::string canonical = serialize(parse_config(text));
    if (serialize(parse_config(canonical)) != canonical) std::abort();
  } catch (const kiln::Error&) {
  }
  return 0;
}
