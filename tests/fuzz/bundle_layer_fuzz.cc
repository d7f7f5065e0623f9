// Layers of bundles come from registries that nobody vouches for: whatever the bytes are, there is a document
// within the limit or an Error.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "base/error.h"
#include "resolvers/bundle_layer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr uint64_t kLimit = 64u << 10;
  try {
    if (kiln::resolvers::bundle_document({reinterpret_cast<const char*>(data), size}, kLimit).size() > kLimit)
      std::abort();
  } catch (const kiln::Error&) {
  }
  return 0;
}
