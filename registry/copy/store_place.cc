#include "registry/copy/store_place.h"

#include "base/error.h"

namespace kiln::registry {
namespace {

class StoreSink : public BlobSink {
 public:
  // `named`: an update() that names the blob is to come.
  StoreSink(Store& store, const Descriptor& blob, bool named)
      : store_(store), blob_(blob), named_(named), writer_(store.begin_blob(blob.digest.algorithm())) {}
  void write(std::string_view bytes) override { writer_->write(bytes); }
  std::string write_piece(std::string piece) override { return writer_->write_piece(std::move(piece)); }
  uint64_t size() const override { return writer_->size(); }
  void restart() override { writer_.emplace(store_.begin_blob(blob_.digest.algorithm())); }
  void commit() override {
    if (named_)
      writer_->commit_before_update(blob_.digest);
    else
      writer_->commit(blob_.digest);
  }

 private:
  Store& store_;
  const Descriptor blob_;
  const bool named_;
  std::optional<BlobWriter> writer_;
};

}  // namespace

FetchedManifest StoreSource::manifest(const std::optional<Descriptor>& which, std::stop_token) {
  const Descriptor& wanted = which ? *which : image_;
  return checked_manifest(store_.read(wanted.digest), wanted.media_type, wanted.digest);
}

std::optional<FilePart> StoreSource::file(const Descriptor& blob) {
  UniqueFd fd = store_.open(blob.digest);
  const auto size = store_.size(blob.digest);
  return FilePart{std::move(fd), 0, size.value_or(0)};
}

void StoreSource::read_blob(const Descriptor& blob, BlobSink& sink,
                            const std::function<void(uint64_t)>& progress, std::stop_token stop) {
  const auto part = file(blob);
  try {
    copy_part(*part, sink, progress, stop);
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::Invalid) verify(blob);  // says where it is now, and what to do
    throw;
  }
}

ImageTarget::Put StoreTarget::put_blob(const Descriptor& blob, ImageSource& source,
                                       const std::function<void(uint64_t)>& progress, std::stop_token stop) {
  if (store_.size(blob.digest) == blob.size && store_.heal(blob.digest) && store_.keep(blob.digest))
    return Put::Present;
  StoreSink sink(store_, blob, entry_ != Entry::None);
  source.read_blob(blob, sink, progress, std::move(stop));
  return Put::Moved;
}

void StoreTarget::put_manifest(const FetchedManifest& manifest, bool top, std::stop_token) {
  if (!store_.heal(manifest.descriptor.digest) || !store_.keep(manifest.descriptor.digest)) {
    StoreSink sink(store_, manifest.descriptor, entry_ != Entry::None);
    sink.write(manifest.bytes);
    sink.commit();
  }
  if (!top || entry_ == Entry::None) return;
  store_.update([&](IndexEdit& edit) {
    if (entry_ == Entry::Named)
      edit.name(name_, manifest.descriptor);
    else
      edit.set_nameless(manifest.descriptor);
  });
}

}  // namespace kiln::registry
