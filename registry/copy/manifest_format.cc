#include "registry/copy/manifest_format.h"

#include <nlohmann/json.hpp>

#include "base/error.h"

namespace kiln::registry {
namespace {

using nlohmann::json;

constexpr int kIndexDepthLimit = 4;

struct Pair {
  std::string_view oci, docker;
};
constexpr Pair kIndexes{media::kIndex, media::kDockerIndex};
constexpr Pair kManifests{media::kManifest, media::kDockerManifest};
constexpr Pair kConfigs{media::kConfig, "application/vnd.docker.container.image.v1+json"};
constexpr Pair kLayers[] = {
    {media::kLayerGzip, "application/vnd.docker.image.rootfs.diff.tar.gzip"},
    {media::kLayer, "application/vnd.docker.image.rootfs.diff.tar"},
    {"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
     "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"},
    {"application/vnd.oci.image.layer.nondistributable.v1.tar",
     "application/vnd.docker.image.rootfs.foreign.diff.tar"},
};

std::string_view of(const Pair& pair, ManifestFormat format) {
  return format == ManifestFormat::Oci ? pair.oci : pair.docker;
}

std::string words(ManifestFormat format) {
  return format == ManifestFormat::Oci ? "the OCI format" : "Docker's format";
}

Error impossible(const FetchedManifest& image, ManifestFormat format, const std::string& why,
                 const std::string& hint) {
  return Error(ErrorKind::Usage,
               image.descriptor.digest.text() + " cannot be written in " + words(format) + ": " + why, hint);
}

std::string layer_type(const FetchedManifest& image, const Descriptor& layer, ManifestFormat format) {
  for (const Pair& pair : kLayers)
    if (layer.media_type == pair.oci || layer.media_type == pair.docker) return std::string(of(pair, format));
  if (layer.media_type.ends_with("zstd")) {
    if (format == ManifestFormat::Oci) return std::string(media::kLayerZstd);
    throw impossible(image, format, "its layer " + layer.digest.short_text() + " is compressed with zstd",
                     "leave out --format docker, or build the image with layers by gzip");
  }
  throw impossible(image, format,
                   "its layer " + layer.digest.short_text() + " is \"" + layer.media_type + "\"",
                   "artifacts are copied as they are: leave out --format");
}

json converted(const FetchedManifest& image, ManifestFormat format) {
  const Manifest manifest = parse_manifest(image.bytes);
  json document = json::parse(image.bytes);
  const std::string& config = manifest.config.media_type;
  const bool is_artifact = document.contains("artifactType") || document.contains("subject");
  if (is_artifact || (config != kConfigs.oci && config != kConfigs.docker))
    throw impossible(image, format,
                     is_artifact ? "it is an artifact" : "it is an artifact, \"" + config + "\"",
                     "artifacts are copied as they are: leave out --format, or take one image of the index "
                     "with --platform");
  document["mediaType"] = of(kManifests, format);
  document["config"]["mediaType"] = of(kConfigs, format);
  for (size_t i = 0; i < manifest.layers.size(); ++i)
    document["layers"][i]["mediaType"] = layer_type(image, manifest.layers[i], format);
  return document;
}

// Docker's documents know none.
void drop_annotations(json& document) {
  const auto drop = [](json& from) {
    if (from.is_object()) from.erase("annotations");
  };
  drop(document);
  for (const char* member : {"manifests", "layers", "config"}) {
    if (!document.contains(member)) continue;
    drop(document[member]);
    if (document[member].is_array())
      for (json& entry : document[member]) drop(entry);
  }
}

}  // namespace

FetchedManifest ConvertedSource::convert(const FetchedManifest& image, const std::stop_token& stop) {
  return convert(image, stop, 0);
}

FetchedManifest ConvertedSource::convert(const FetchedManifest& image, const std::stop_token& stop,
                                         int depth) {
  json document;
  if (is_index(image.descriptor.media_type)) {
    if (depth == kIndexDepthLimit)
      throw Error(ErrorKind::Invalid,
                  "the image index " + image.descriptor.digest.text() + " is nested too deeply");
    const std::vector<Descriptor> children = parse_index(image.bytes);
    document = json::parse(image.bytes);
    document["mediaType"] = of(kIndexes, format_);
    for (size_t i = 0; i < children.size(); ++i) {
      const FetchedManifest child = converted_child(children[i], stop, depth + 1);
      json& entry = document["manifests"][i];
      entry["mediaType"] = child.descriptor.media_type;
      entry["digest"] = child.descriptor.digest.text();
      entry["size"] = child.descriptor.size;
    }
  } else {
    document = converted(image, format_);
  }
  if (format_ == ManifestFormat::Docker) drop_annotations(document);
  FetchedManifest out = image;
  if (document != json::parse(image.bytes))
    out = checked_manifest(document.dump(), document["mediaType"].get<std::string>(), {});
  converted_.insert_or_assign(out.descriptor.digest, out);
  return out;
}

// Each once, however often an index names it.
FetchedManifest ConvertedSource::converted_child(const Descriptor& child, const std::stop_token& stop,
                                                 int depth) {
  if (const auto it = became_.find(child.digest); it != became_.end()) return converted_.at(it->second);
  FetchedManifest out = convert(from_.manifest(child, stop), stop, depth);
  became_.emplace(child.digest, out.descriptor.digest);
  return out;
}

FetchedManifest ConvertedSource::manifest(const std::optional<Descriptor>& which, std::stop_token stop) {
  if (which)
    if (const auto it = converted_.find(which->digest); it != converted_.end()) return it->second;
  return from_.manifest(which, std::move(stop));
}

}  // namespace kiln::registry
