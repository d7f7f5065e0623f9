// Source docker-archive:, as `docker save` of all times, podman and skopeo write it.
#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/text.h"
#include "registry/copy/file_places.h"
#include "registry/reference.h"

namespace kiln::registry::detail {
namespace {

using nlohmann::json;

constexpr uint64_t kDocumentLimit = 4u << 20;
constexpr size_t kLayerLimit = 4096;

// What manifest.json says of one image.
struct SavedImage {
  std::string config;
  std::vector<std::string> tags, layers;
};

std::vector<SavedImage> parse_saved(const std::string& text, const std::string& archive) {
  const auto refuse = [&](const char* why) {
    throw Error(ErrorKind::Invalid, "manifest.json of " + archive + " is malformed: " + why);
  };
  const json document = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!document.is_array()) refuse("it is no list");
  std::vector<SavedImage> out;
  for (const json& entry : document) {
    if (!entry.is_object()) refuse("an image is no object");
    SavedImage image;
    const auto texts = [&](const char* key, std::vector<std::string>& into) {
      const auto it = entry.find(key);
      if (it == entry.end() || it->is_null()) return;
      if (!it->is_array() || it->size() > kLayerLimit) refuse("a list is not fair");
      for (const json& item : *it) {
        if (!item.is_string()) refuse("a list holds something other than texts");
        into.push_back(item.get<std::string>());
      }
    };
    texts("RepoTags", image.tags);
    texts("Layers", image.layers);
    if (!entry.contains("Config") || !entry["Config"].is_string()) refuse("an image has no Config");
    image.config = entry["Config"].get<std::string>();
    out.push_back(std::move(image));
  }
  return out;
}

class DockerArchiveSource : public FileSource {
 public:
  DockerArchiveSource(std::unique_ptr<FileTree> files, std::string name)
      : FileSource(std::move(files)), name_(std::move(name)) {}

 private:
  // It has no manifest; one is made from what it does have. Layers stay as they lie there.
  FetchedManifest top() override {
    if (made_) return *made_;
    const SavedImage image = pick();
    const std::string config = files().read(image.config, kDocumentLimit);
    const ImageConfig parsed = parse_config(config);
    if (parsed.diff_ids.size() != image.layers.size())
      throw Error(ErrorKind::Invalid, files().name() + " has " + std::to_string(image.layers.size()) +
                                          " layers for an image of " +
                                          std::to_string(parsed.diff_ids.size()));
    Manifest manifest;
    manifest.config.media_type = media::kConfig;
    manifest.config.digest = sha256(config);
    manifest.config.size = config.size();
    paths_[manifest.config.digest] = image.config;
    for (size_t i = 0; i < image.layers.size(); ++i)
      manifest.layers.push_back(layer(image.layers[i], parsed.diff_ids[i]));
    std::string bytes = serialize(manifest);
    Descriptor descriptor;
    descriptor.media_type = manifest.media_type;
    descriptor.digest = sha256(bytes);
    descriptor.size = bytes.size();
    made_ = FetchedManifest{std::move(descriptor), std::move(bytes)};
    return *made_;
  }

  SavedImage pick() const {
    std::vector<SavedImage> images =
        parse_saved(files().read("manifest.json", kDocumentLimit), files().name());
    std::vector<std::string> tags;
    for (SavedImage& image : images) {
      for (const std::string& tag : image.tags)
        if (!name_.empty() && is_same_name(tag, name_)) return std::move(image);
      std::ranges::copy(image.tags, std::back_inserter(tags));
    }
    if (name_.empty() && images.size() == 1) return std::move(images[0]);
    throw Error(ErrorKind::NotFound,
                name_.empty() ? files().name() + " holds no single image; name the one you mean"
                              : files().name() + " has no image " + name_,
                tags.empty() ? "none there has a name" : "it has " + join(tags, ", "));
  }

  Descriptor layer(const std::string& path, const Digest& diff_id) {
    const auto part = files().open(path);
    if (!part)
      throw Error(ErrorKind::NotFound, files().name() + " has no layer " + path,
                  "the image there is incomplete");
    char magic[4] = {};
    if (::pread(part->fd.get(), magic, std::min<uint64_t>(4, part->size), static_cast<off_t>(part->offset)) <
        0)
      throw_errno("cannot read " + files().name());
    const std::string_view head(magic, 4);
    const bool gzip = head.starts_with("\x1f\x8b"), zstd = head == "\x28\xb5\x2f\xfd";
    Descriptor out;
    out.media_type = gzip ? media::kLayerGzip : zstd ? media::kLayerZstd : media::kLayer;
    out.size = part->size;
    // A tar by itself has the digest that the configuration names; it is checked when the bytes move.
    out.digest = gzip || zstd ? digest_of(*part) : diff_id;
    paths_[out.digest] = path;
    return out;
  }

  static Digest digest_of(const FilePart& part) {
    struct HashSink : BlobSink {
      void write(std::string_view bytes) override { hasher.update(bytes); }
      uint64_t size() const override { return 0; }
      void restart() override {}
      void commit() override {}
      Hasher hasher;
    } sink;
    copy_part(part, sink);
    return sink.hasher.finish();
  }

  std::string path_of(const Digest& digest, bool) const override {
    const auto it = paths_.find(digest);
    return it == paths_.end() ? std::string{} : it->second;
  }

  const std::string name_;
  std::optional<FetchedManifest> made_;
  std::map<Digest, std::string> paths_;  // complete before blobs are asked for
};

}  // namespace

std::vector<std::string> saved_names(const FileTree& files) {
  std::vector<std::string> names;
  for (SavedImage& image : parse_saved(files.read("manifest.json", kDocumentLimit), files.name())) {
    if (image.tags.empty()) names.emplace_back();
    std::ranges::move(image.tags, std::back_inserter(names));
  }
  return names;
}

bool is_same_name(const std::string& a, const std::string& b) {
  const auto one = Reference::try_parse(a), other = Reference::try_parse(b);
  return a == b || (one && other && one->text() == other->text());
}

std::unique_ptr<ImageSource> docker_archive_source(std::unique_ptr<FileTree> files, std::string name) {
  return std::make_unique<DockerArchiveSource>(std::move(files), std::move(name));
}

}  // namespace kiln::registry::detail
