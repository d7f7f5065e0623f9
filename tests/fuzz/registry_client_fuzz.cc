// What a registry says to the client, and what a user's registries.conf says of registries.
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "registry/client/challenge.h"
#include "registry/client/registries_conf.h"
#include "registry/copy/manifest_format.h"

namespace {

using namespace kiln::registry;

// Has nothing but the manifest that is converted.
class Nothing : public ImageSource {
 public:
  FetchedManifest manifest(const std::optional<Descriptor>&, std::stop_token) override {
    throw kiln::Error(kiln::ErrorKind::NotFound, "there is no other");
  }
  std::optional<FilePart> file(const Descriptor&) override { return std::nullopt; }
  void read_blob(const Descriptor&, BlobSink&, const std::function<void(uint64_t)>&,
                 std::stop_token) override {}
};

void convert(const FetchedManifest& image, ManifestFormat format) {
  Nothing source;
  const FetchedManifest there = ConvertedSource(source, format).convert(image, {});
  if (is_index(there.descriptor.media_type)) {
    parse_index(there.bytes);
    return;
  }
  const Manifest before = parse_manifest(image.bytes), after = parse_manifest(there.bytes);
  if (before.config.digest != after.config.digest || before.layers.size() != after.layers.size())
    std::abort();
  const FetchedManifest again = ConvertedSource(source, format).convert(there, {});
  if (again.descriptor.digest != there.descriptor.digest) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const Challenge& challenge : parse_challenges(text))
    if (challenge.scheme.empty()) std::abort();
  try {
    RegistriesConf conf;
    conf.add(text, "fuzzed");
    for (const RegistryPlace& place : conf.to_pull(conf.full_name(Reference::parse("a.example/b/c:v1"))))
      if (place.reference.host.empty()) std::abort();
  } catch (const kiln::Error&) {
  }
  for (const ManifestFormat format : {ManifestFormat::Docker, ManifestFormat::Oci}) {
    try {
      convert(checked_manifest(std::string(text), {}, {}), format);
    } catch (const kiln::Error&) {
    }
  }
  return 0;
}
