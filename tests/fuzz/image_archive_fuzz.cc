// Archives of images come from anybody: whatever the bytes are, reading one ends in an image or in an Error,
// and what is given of it lies inside the file.
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "base/fs.h"
#include "registry/copy/copy.h"
#include "registry/copy/file_places.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kiln::registry;
  static const kiln::TempDir dir;
  const std::filesystem::path file = dir.path() / "archive";
  kiln::write_file(file, {reinterpret_cast<const char*>(data), size});
  TarTree::Limits limits;
  limits.members = 200;
  limits.bytes = 8u << 20;
  for (const bool docker : {true, false}) {
    try {
      auto tree = std::make_unique<TarTree>(file, limits);
      const auto source = docker ? detail::docker_archive_source(std::move(tree), "")
                                 : detail::layout_source(std::move(tree), "");
      FetchedManifest image = source->manifest({}, {});
      image = select_image(*source, std::move(image), Platform{"linux", "amd64", ""}, {});
      const Manifest manifest = parse_manifest(image.bytes);
      read_config(*source, manifest, {});
      for (const Descriptor& layer : manifest.layers) {
        DigestSink sink(layer);
        source->read_blob(layer, sink, {}, {});
        if (sink.size() != layer.size) std::abort();
      }
    } catch (const kiln::Error&) {
    }
  }
  return 0;
}
