#pragma once

#include <string>

#include "registry/copy/image_place.h"
#include "registry/store/store.h"

namespace kiln::registry {

// An image of a Store; damaged blobs go to quarantine/ when they are found. Throws Infrastructure for these
// and for what is missing.
class StoreSource : public ImageSource {
 public:
  StoreSource(const Store& store, Descriptor image) : store_(store), image_(std::move(image)) {}
  FetchedManifest manifest(const std::optional<Descriptor>& which, std::stop_token stop) override;
  std::optional<FilePart> file(const Descriptor& blob) override;
  void read_blob(const Descriptor& blob, BlobSink& sink, const std::function<void(uint64_t)>& progress,
                 std::stop_token stop) override;
  void verify(const Descriptor& blob) override;

 private:
  const Store& store_;
  const Descriptor image_;
};

// Into a Store. What it does not name may be collected; who has no name for it yet holds a Lease.
class StoreTarget : public ImageTarget {
 public:
  // What index.json is to say of the image.
  enum class Entry { None, Named, Nameless };
  explicit StoreTarget(Store& store, Entry entry = Entry::None, std::string name = {})
      : store_(store), entry_(entry), name_(std::move(name)) {}
  Put put_blob(const Descriptor& blob, ImageSource& source, const std::function<void(uint64_t)>& progress,
               std::stop_token stop) override;
  void put_manifest(const FetchedManifest& manifest, bool top, std::stop_token stop) override;

 private:
  Store& store_;
  const Entry entry_;
  const std::string name_;
};

}  // namespace kiln::registry
