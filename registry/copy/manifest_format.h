#pragma once

#include <map>

#include "registry/copy/image_place.h"

namespace kiln::registry {

// How manifests are written: by the image-spec, or as Docker's image manifest, version 2, schema 2.
enum class ManifestFormat { Oci, Docker };

// Another source's image with its manifests in one format: the media types of manifests, configurations and
// layers change, and with them the manifests' digests. Configurations and layers stay byte for byte.
// Thread-safe once it has converted.
class ConvertedSource : public ImageSource {
 public:
  ConvertedSource(ImageSource& from, ManifestFormat format) : from_(from), format_(format) {}

  // The image or index in this format, unchanged when it is in it already. Throws Usage for what has no form
  // there: artifacts, and layers by zstd as Docker's.
  FetchedManifest convert(const FetchedManifest& image, const std::stop_token& stop);

  // Manifests that convert() has named come from here.
  FetchedManifest manifest(const std::optional<Descriptor>& which, std::stop_token stop) override;
  std::optional<FilePart> file(const Descriptor& blob) override { return from_.file(blob); }
  void read_blob(const Descriptor& blob, BlobSink& sink, const std::function<void(uint64_t)>& progress,
                 std::stop_token stop) override {
    from_.read_blob(blob, sink, progress, std::move(stop));
  }
  void verify(const Descriptor& blob) override { from_.verify(blob); }

 private:
  FetchedManifest convert(const FetchedManifest& image, const std::stop_token& stop, int depth);
  FetchedManifest converted_child(const Descriptor& child, const std::stop_token& stop, int depth);

  ImageSource& from_;
  const ManifestFormat format_;
  std::map<Digest, FetchedManifest> converted_;  // by their own digests
  std::map<Digest, Digest> became_;              // of children: what they were, what they are
};

}  // namespace kiln::registry
