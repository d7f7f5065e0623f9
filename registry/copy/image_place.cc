#include "registry/copy/image_place.h"

#include <nlohmann/json.hpp>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "registry/client.h"
#include "registry/copy/file_places.h"
#include "registry/copy/store_place.h"
#include "registry/reference.h"

namespace kiln::registry {
namespace {

using Kind = ImagePlace::Kind;

struct Transport {
  std::string_view prefix;
  Kind kind;
  bool named;  // :NAME may follow the path
};
constexpr Transport kTransports[] = {{"oci:", Kind::Layout, true},
                                     {"oci-archive:", Kind::LayoutArchive, true},
                                     {"docker-archive:", Kind::DockerArchive, true},
                                     {"dir:", Kind::Folder, false}};

// What skopeo and podman know besides; as a name it would be taken for an image's.
constexpr std::string_view kOtherTransports[] = {
    "docker-daemon:", "containers-storage:", "ostree:", "sif:", "tarball:", "http://", "https://"};

Descriptor in_store(const Store& store, const std::string& name) {
  const Reference reference = Reference::parse(name);
  if (reference.digest && store.has(*reference.digest)) {
    Descriptor out;
    out.digest = *reference.digest;
    return out;
  }
  if (!reference.digest)
    for (const std::string& known : {reference.familiar, reference.text()})
      if (auto found = store.resolve(known)) return *found;
  throw Error(ErrorKind::NotFound, "there is no image " + reference.familiar + " in the store",
              "`kiln image list` shows what there is; docker://" + reference.familiar +
                  " means the one of its registry");
}

// A Store on the folder of somebody else's layout, opened when the first bytes arrive. A copy that fails
// leaves what was there before, and the blobs that had come whole: the next one need not move them.
class LayoutTarget : public ImageTarget {
 public:
  LayoutTarget(std::filesystem::path folder, std::string name)
      : folder_(std::move(folder)), name_(std::move(name)) {
    std::error_code ignored;
    is_new_ = !fs::exists(folder_ / "oci-layout");
    if (is_new_ && fs::exists(folder_) && !fs::is_empty(folder_, ignored))
      throw Error(ErrorKind::Usage, folder_.string() + " holds something else than an image layout",
                  "name a folder that is empty or not there yet");
    was_there_ = fs::exists(folder_);
  }
  ~LayoutTarget() override {
    const bool begun = store_.has_value();
    target_.reset();
    store_.reset();
    if (begun && is_new_ && !complete_) remove_empty();
  }
  void expect(std::span<const Descriptor>) override { target(); }
  Put put_blob(const Descriptor& blob, ImageSource& source, const std::function<void(uint64_t)>& progress,
               std::stop_token stop) override {
    return target().put_blob(blob, source, progress, std::move(stop));
  }
  void put_manifest(const FetchedManifest& manifest, bool top, std::stop_token stop) override {
    target().put_manifest(manifest, top, std::move(stop));
    complete_ |= top;
  }

 private:
  StoreTarget& target() {
    if (!target_) {
      store_.emplace(folder_, Store::Folder::Exchanged);
      target_.emplace(*store_, name_.empty() ? StoreTarget::Entry::Nameless : StoreTarget::Entry::Named,
                      name_);
    }
    return *target_;
  }
  void remove_empty() const {
    if (::rmdir((folder_ / "blobs/sha256").c_str()) != 0 || ::rmdir((folder_ / "blobs").c_str()) != 0) return;
    for (const char* file : {"index.json", "oci-layout"}) ::unlink((folder_ / file).c_str());
    if (!was_there_) ::rmdir(folder_.c_str());
  }

  const std::filesystem::path folder_;
  const std::string name_;
  bool is_new_ = false, was_there_ = false, complete_ = false;
  std::optional<Store> store_;
  std::optional<StoreTarget> target_;
};

// What comes from the same registry is mounted from there.
std::unique_ptr<ImageTarget> registry_target(const ImagePlace& place, Client& client,
                                             const ImagePlace& from) {
  const Reference target = Reference::parse(place.name);
  if (from.kind != Kind::Registry) return client.target(target);
  const Reference source = Reference::parse(from.name);
  return client.target(target, source.host == target.host ? source.repository : "");
}

}  // namespace

ImagePlace ImagePlace::parse(std::string_view text) {
  if (text.starts_with("docker://")) return {Kind::Registry, Reference::parse(text.substr(9)).familiar, {}};
  for (const Transport& transport : kTransports) {
    if (!text.starts_with(transport.prefix)) continue;
    const std::string_view rest = text.substr(transport.prefix.size());
    // The path ends at the first colon, as with skopeo; names may hold more of them.
    const size_t colon = transport.named ? rest.find(':') : std::string_view::npos;
    ImagePlace out{transport.kind, {}, rest.substr(0, colon)};
    if (colon != std::string_view::npos) out.name = rest.substr(colon + 1);
    if (out.path.empty())
      throw Error(ErrorKind::Usage, "\"" + std::string(text) + "\" names no file",
                  "write " + std::string(transport.prefix) + "PATH" + (transport.named ? "[:NAME]" : ""));
    return out;
  }
  for (const std::string_view other : kOtherTransports)
    if (text.starts_with(other))
      throw Error(ErrorKind::Usage, "\"" + std::string(text) + "\": Kiln has no place " + std::string(other),
                  "write NAME, docker://HOST/NAME, oci:FOLDER[:NAME], oci-archive:FILE[:NAME], "
                  "docker-archive:FILE[:NAME] or dir:FOLDER");
  return {Kind::Store, Reference::parse(text).familiar, {}};
}

std::string ImagePlace::text() const {
  if (kind == Kind::Store) return name;
  if (kind == Kind::Registry) return "docker://" + name;
  for (const Transport& transport : kTransports)
    if (transport.kind == kind)
      return std::string(transport.prefix) + path.string() + (name.empty() ? "" : ":" + name);
  return name;
}

std::unique_ptr<ImageSource> open_source(const ImagePlace& place, Client& client, Store& store) {
  switch (place.kind) {
    case Kind::Store:
      return std::make_unique<StoreSource>(store, in_store(store, place.name));
    case Kind::Registry:
      return client.source(Reference::parse(place.name));
    case Kind::Layout:
      return detail::layout_source(std::make_unique<FolderTree>(place.path), place.name);
    case Kind::LayoutArchive:
      return detail::layout_source(std::make_unique<TarTree>(place.path), place.name);
    case Kind::DockerArchive:
      return detail::docker_archive_source(std::make_unique<TarTree>(place.path), place.name);
    case Kind::Folder:
      return detail::folder_source(place.path);
  }
  return nullptr;
}

std::unique_ptr<ImageTarget> open_target(const ImagePlace& place, Client& client, Store& store,
                                         const std::string& suggested, const ImagePlace& from) {
  switch (place.kind) {
    case Kind::Store:
      if (Reference::parse(place.name).digest)
        throw Error(ErrorKind::Usage, "\"" + place.name + "\" names a digest; an image is given a tag",
                    "leave out what follows the @");
      return std::make_unique<StoreTarget>(store, StoreTarget::Entry::Named, place.name);
    case Kind::Registry:
      return registry_target(place, client, from);
    case Kind::Layout:
      return std::make_unique<LayoutTarget>(place.path, place.name);
    case Kind::LayoutArchive:
      return detail::layout_archive_target(place.path, place.name);
    case Kind::DockerArchive:
      return detail::docker_archive_target(place.path, place.name.empty() ? suggested : place.name);
    case Kind::Folder:
      return detail::folder_target(place.path);
  }
  return nullptr;
}

FetchedManifest checked_manifest(std::string bytes, std::string_view type,
                                 const std::optional<Digest>& expected) {
  Hasher hasher(expected ? expected->algorithm() : "sha256");
  hasher.update(bytes);
  const Digest actual = hasher.finish();
  if (expected && *expected != actual)
    throw Error(ErrorKind::Invalid,
                "a manifest has the digest " + actual.text() + ", not " + expected->text());
  Descriptor descriptor;
  descriptor.media_type = std::string(trim(type.substr(0, type.find(';'))));
  const auto document = nlohmann::json::parse(bytes, nullptr, false);
  if (document.is_object() && document.contains("mediaType") && document["mediaType"].is_string())
    descriptor.media_type = document["mediaType"].get<std::string>();
  else if (!is_manifest(descriptor.media_type) && !is_index(descriptor.media_type))
    descriptor.media_type =
        document.is_object() && document.contains("manifests") ? media::kIndex : media::kManifest;
  descriptor.digest = actual;
  descriptor.size = bytes.size();
  return {std::move(descriptor), std::move(bytes)};
}

}  // namespace kiln::registry
