// Layers come from registries that nobody vouches for: whatever the bytes are, unpacking ends in an image
// folder or in an Error, and nothing appears outside of the folder.
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string_view>

#include "base/error.h"
#include "base/fs.h"
#include "registry/layers/unpack.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const kiln::TempDir dir;
  const std::filesystem::path target = dir.path() / "target";
  std::filesystem::create_directory(target);
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  kiln::registry::UnpackOptions options;
  options.privileged = false;
  options.writers = 1;
  options.limits.bytes = 8u << 20;
  options.limits.entries = 200;
  try {
    kiln::registry::unpack_layer(
        [&](char* buffer, size_t wanted) {
          const size_t count = std::min(wanted, rest.size());
          std::memcpy(buffer, rest.data(), count);
          rest.remove_prefix(count);
          return count;
        },
        target, {}, {}, options);
  } catch (const kiln::Error&) {
  }
  kiln::remove_tree(target);
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(dir.path())) std::abort();
  return 0;
}
