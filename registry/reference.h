#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "base/digest.h"

namespace kiln::registry {

// The name of an image as people write it: [host[:port]/]repository[:tag][@digest], by the grammar of the
// distribution-spec ("Pulling manifests") and the rules of Docker for what is left out:
//
//   alpine                     docker.io/library/alpine:latest
//   localhost:8080/hello:v1    host localhost:8080, repository hello, tag v1
//   kiln/build                 a local image of Kiln's own: no host, never asked of a registry
//   docker://REF               the same as REF
struct Reference {
  std::string host;              // "docker.io", "localhost:8080"; empty for kiln/… names
  std::string repository;        // "library/alpine"
  std::string tag;               // "latest" when neither tag nor digest was given; empty with a digest alone
  std::optional<Digest> digest;  // wins over the tag
  std::string familiar;  // as it was written, with the default tag: how the store knows it ("alpine:latest")

  // Throws Invalid with what is wrong; the hint shows a good one.
  static Reference parse(std::string_view text);
  static std::optional<Reference> try_parse(std::string_view text, std::string* problem = nullptr);

  bool is_local() const { return host.empty(); }
  // "host/repository:tag@digest", nothing left out.
  std::string text() const;
  // What stands behind /manifests/ in a request: the digest, else the tag.
  std::string tag_or_digest() const { return digest ? digest->text() : tag; }
  bool operator==(const Reference&) const = default;
};

// The grammar's parts, for whoever meets them in a URL. A valid name cannot climb out of a folder.
bool is_repository_name(std::string_view text);  // at most 255 bytes
bool is_tag(std::string_view text);              // at most 128 bytes

}  // namespace kiln::registry
