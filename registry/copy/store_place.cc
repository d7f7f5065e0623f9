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

// What the store lacks or has damaged is no fault of what the user wrote.
template <class Read>
auto of_store(const Read& read) {
  try {
    return read();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::NotFound && error.kind() != ErrorKind::Invalid) throw;
    throw Error(ErrorKind::Infrastructure, error.full(), error.hint());
  }
}

}  // namespace

FetchedManifest StoreSource::manifest(const std::optional<Descriptor>& which, std::stop_token) {
  const Descriptor& wanted = which ? *which : image_;
  const std::string bytes = of_store([&] { return store_.read(wanted.digest); });
  return checked_manifest(bytes, wanted.media_type, wanted.digest);
}

std::optional<FilePart> StoreSource::file(const Descriptor& blob) {
  // Layers that are kept elsewhere by intent may be missing.
  UniqueFd fd =
      is_foreign(blob) ? store_.open(blob.digest) : of_store([&] { return store_.open(blob.digest); });
  const auto size = store_.size(blob.digest);
  if (size && *size != blob.size) verify(blob);
  return FilePart{std::move(fd), 0, size.value_or(0)};
}

void StoreSource::verify(const Descriptor& blob) {
  of_store([&] { store_.verify(blob.digest); });
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
