// Image references come from documents and URLs; whatever is accepted must survive a round trip.
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "registry/copy/image_place.h"
#include "registry/reference.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kiln::registry;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto reference = Reference::try_parse(text)) {
    const auto again = Reference::try_parse(reference->text());
    if (!again || again->text() != reference->text()) std::abort();
    if (reference->repository.find("..") != std::string::npos) std::abort();
  }
  try {
    ImagePlace::parse(text);
  } catch (const kiln::Error&) {
  }
  return 0;
}
