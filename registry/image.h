#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"

// The documents of the OCI image-spec 1.1 as values, with lossless-enough JSON both ways: parsing is tolerant
// (Docker schema 2 reads the same), writing is canonical (fixed key order, no white space), so that the same
// value always gives the same digest. Parse functions throw Invalid for malformed or oversized documents.
namespace kiln::registry {

namespace media {
inline constexpr std::string_view kManifest = "application/vnd.oci.image.manifest.v1+json";
inline constexpr std::string_view kIndex = "application/vnd.oci.image.index.v1+json";
inline constexpr std::string_view kConfig = "application/vnd.oci.image.config.v1+json";
inline constexpr std::string_view kDockerConfig = "application/vnd.docker.container.image.v1+json";
inline constexpr std::string_view kLayer = "application/vnd.oci.image.layer.v1.tar";
inline constexpr std::string_view kLayerGzip = "application/vnd.oci.image.layer.v1.tar+gzip";
inline constexpr std::string_view kLayerZstd = "application/vnd.oci.image.layer.v1.tar+zstd";
inline constexpr std::string_view kDockerManifest = "application/vnd.docker.distribution.manifest.v2+json";
inline constexpr std::string_view kDockerIndex = "application/vnd.docker.distribution.manifest.list.v2+json";
}  // namespace media

bool is_manifest(std::string_view media_type);
bool is_index(std::string_view media_type);

// image-spec descriptor.md.
struct Descriptor {
  std::string media_type;
  Digest digest;
  uint64_t size = 0;
  std::map<std::string, std::string> annotations;
  std::string os, architecture, variant;  // platform, empty when absent
  bool operator==(const Descriptor&) const = default;
};

// A layer that may not be distributed: it may stay where a manifest says it is.
bool is_foreign(const Descriptor& layer);

// image-spec manifest.md.
struct Manifest {
  std::string media_type{media::kManifest};
  Descriptor config;
  std::vector<Descriptor> layers;  // base first
  std::map<std::string, std::string> annotations;
};

struct HistoryEntry {
  std::string created_by;
  std::string comment;
  std::string created;  // RFC 3339
  bool empty_layer = false;
};

// image-spec config.md; the members that Kiln reads or writes.
struct ImageConfig {
  std::string os = "linux";
  std::string architecture = "amd64";
  std::string created;  // RFC 3339
  std::string user;
  std::vector<std::string> env;  // "NAME=value"
  std::vector<std::string> entrypoint;
  std::vector<std::string> cmd;
  std::string working_dir;
  std::vector<std::string> exposed_ports;  // "8080/tcp"
  std::vector<std::string> volumes;
  std::string stop_signal;
  std::map<std::string, std::string> labels;
  std::vector<Digest> diff_ids;  // base first, one per layer
  std::vector<HistoryEntry> history;
};

// An image as the store holds it: what was asked for, and the documents it resolved to.
struct Image {
  Descriptor descriptor;  // of the manifest
  Manifest manifest;
  ImageConfig config;
};

Descriptor parse_descriptor(const nlohmann::json& json);
nlohmann::json to_json(const Descriptor& descriptor);
Manifest parse_manifest(std::string_view json);
std::string serialize(const Manifest& manifest);
ImageConfig parse_config(std::string_view json);
std::string serialize(const ImageConfig& config);

// image-spec config.md, "Layer ChainID": for each layer, what it and all below it are together.
std::vector<Digest> chain_ids(std::span<const Digest> diff_ids);

// The entries of an image index, in order.
std::vector<Descriptor> parse_index(std::string_view json);

// This machine's GOARCH: "amd64", "arm64", …
std::string machine_architecture();

// The entry of an image index for a platform ("linux", "arm", "v7"); throws NotFound naming what there is. A
// variant that is not there is stood in for by the next lower one (v6), or by an entry without any; without
// `variant` the most common denominator is taken.
Descriptor select_platform(std::string_view index_json, std::string_view os, std::string_view architecture,
                           std::string_view variant = {});

// The same, also where the index leaves to other documents which platform an image is for: nested indexes are
// searched, and images without a word on it looked into (at most 64 documents). The entry of an image. `read`
// gives a document's bytes; its errors pass.
using DocumentReader = std::function<std::string(const Descriptor&)>;
Descriptor find_platform(std::string_view index_json, std::string_view os, std::string_view architecture,
                         std::string_view variant, const DocumentReader& read);

// A manifest as a registry gives it.
struct FetchedManifest {
  Descriptor descriptor;
  std::string bytes;
};

}  // namespace kiln::registry
