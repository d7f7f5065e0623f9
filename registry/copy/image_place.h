#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>

#include "registry/blob_sink.h"
#include "registry/image.h"

namespace kiln::registry {

class Client;
class Store;

// Where an image is or is to be, as containers-transports(5) writes it:
//
//   docker://HOST/NAME[:TAG][@DIGEST]      in a registry
//   oci:FOLDER[:NAME]                      an image layout (image-spec image-layout.md)
//   oci-archive:FILE[:NAME]                the same as a tar file
//   docker-archive:FILE[:NAME]             what `docker save` writes and `docker load` reads
//   dir:FOLDER                             one image, its blobs by digest
//   NAME[:TAG][@DIGEST]                    in Kiln's own store
struct ImagePlace {
  enum class Kind { Store, Registry, Layout, LayoutArchive, DockerArchive, Folder } kind = Kind::Store;
  std::string name;  // of the image; may be empty but for Store and Registry
  std::filesystem::path path;

  // Throws Invalid with what is wrong; the hint shows a good one.
  static ImagePlace parse(std::string_view text);
  std::string text() const;
};

// An image that can be read. Thread-safe. Never changed by reading.
class ImageSource {
 public:
  virtual ~ImageSource() = default;
  // The image's manifest or index; with `which`, a manifest that its index names. Verified. Throws NotFound.
  virtual FetchedManifest manifest(const std::optional<Descriptor>& which, std::stop_token stop) = 0;
  // Where a blob lies, if it is a file's part here. Not verified.
  virtual std::optional<FilePart> file(const Descriptor& blob) = 0;
  // All of the blob, to the sink and committed. Throws NotFound, Invalid, Unavailable. `progress` is told
  // the bytes that are there.
  virtual void read_blob(const Descriptor& blob, BlobSink& sink,
                         const std::function<void(uint64_t)>& progress, std::stop_token stop) = 0;
  // After a target has refused the bytes of file(): throws Invalid when they are to blame.
  virtual void verify(const Descriptor&) {}
};

// An image that is being written: blobs from several threads, then manifests from one, the image's own last.
// Before that nobody sees anything of it.
class ImageTarget {
 public:
  enum class Put { Moved, Present, Mounted };

  virtual ~ImageTarget() = default;
  // Throws for what the place cannot hold. Before anything else.
  virtual void check(const FetchedManifest&, ImageSource&, const std::stop_token&) {}
  // True when the image is there already, whole: nothing is to be done.
  virtual bool is_current(const FetchedManifest&) { return false; }
  // What is about to be put: all at once, in the image's order.
  virtual void expect(std::span<const Descriptor>) {}
  virtual Put put_blob(const Descriptor& blob, ImageSource& source,
                       const std::function<void(uint64_t)>& progress, std::stop_token stop) = 0;
  virtual void put_manifest(const FetchedManifest& manifest, bool top, std::stop_token stop) = 0;
};

// What is opened must not outlive client and store. `suggested` names an image in a docker-archive whose
// place does not; `from` is where it will come from, for mounts within one registry.
std::unique_ptr<ImageSource> open_source(const ImagePlace& place, Client& client, Store& store);
std::unique_ptr<ImageTarget> open_target(const ImagePlace& place, Client& client, Store& store,
                                         const std::string& suggested = {}, const ImagePlace& from = {});

// Before it is used for anything, a manifest must be what it was asked for as. `type` is what the messenger
// says of it; the document's own word counts more. Throws Invalid.
FetchedManifest checked_manifest(std::string bytes, std::string_view type,
                                 const std::optional<Digest>& expected);

}  // namespace kiln::registry
