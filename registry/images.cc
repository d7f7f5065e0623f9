#include "registry/images.h"

#include "base/error.h"
#include "registry/client.h"
#include "registry/reference.h"
#include "registry/store.h"

namespace kiln::registry {
namespace {

// Under which names the store may know the image: as written, and in full.
std::optional<Descriptor> find_in_store(const Store& store, const Reference& reference) {
  if (reference.digest && store.has(*reference.digest)) {
    Descriptor descriptor{
        std::string(media::kManifest), *reference.digest, *store.size(*reference.digest), {}, {}, {}, {}};
    try {
      parse_manifest(store.read(*reference.digest));
    } catch (const Error&) {
      descriptor.media_type = media::kIndex;
    }
    return descriptor;
  }
  if (reference.digest) return std::nullopt;
  if (auto found = store.resolve(reference.familiar)) return found;
  return store.resolve(reference.text());
}

// All blobs there? An image whose pull was interrupted, or that lost a blob, is pulled again.
bool is_complete(const Store& store, const Image& image) {
  for (const Descriptor& layer : image.manifest.layers)
    if (!store.has(layer.digest)) return false;
  return true;
}

}  // namespace

Image Images::get(std::string_view name, PullPolicy policy, std::stop_token stop) const {
  const Reference written = Reference::parse(name);
  const Reference reference = aliases_.resolve(written);
  if (reference == written) return get(reference, policy, std::move(stop));
  try {
    return get(reference, policy, std::move(stop));
  } catch (const Error& error) {
    throw Error(error.kind(), error.full() + "; " + written.familiar + " is an alias for it", error.hint());
  }
}

Image Images::get(const Reference& reference, PullPolicy policy, std::stop_token stop) const {
  if (policy != PullPolicy::Always || reference.is_local()) {
    if (const auto found = find_in_store(store_, reference)) {
      try {
        Image image = store_.load(*found);
        if (is_complete(store_, image)) return image;
      } catch (const Error& error) {
        // Missing, or damaged and put aside: the pull brings it anew.
        const bool pullable = error.kind() == ErrorKind::NotFound || error.kind() == ErrorKind::Invalid;
        if (!pullable || reference.is_local()) throw;
      }
    }
    if (reference.is_local())
      throw Error(ErrorKind::NotFound,
                  "the image " + reference.text() + " is not in the store " + store_.root().string(),
                  "make Kiln's base images with `kiln stack create`");
    if (policy == PullPolicy::Never)
      throw Error(ErrorKind::NotFound,
                  "the image " + reference.text() + " is not in the store " + store_.root().string() +
                      ", and its pull policy is Never",
                  "get it with `kiln image pull " + reference.familiar + "`");
  }
  TransferOptions transfer;
  transfer.stop = stop;
  Image image = client_.pull(reference, store_, transfer);
  store_.tag(reference.familiar, image.descriptor);
  return image;
}

}  // namespace kiln::registry
