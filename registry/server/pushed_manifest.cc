#include "registry/server/pushed_manifest.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/text.h"
#include "registry/document.h"
#include "registry/image.h"

namespace kiln::registry::detail {
namespace {

using nlohmann::json;

constexpr size_t kTypeLimit = 255;  // each half may have 127 (RFC 6838, 4.2)
constexpr std::string_view kSignedDocker = "application/vnd.docker.distribution.manifest.v1+prettyjws";

[[noreturn]] void refuse(const std::string& why) {
  throw Error(ErrorKind::Invalid, why);
}

const json* member(const json& object, const char* name) {
  const auto it = object.find(name);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

void check_text(const json& document, const char* name) {
  const json* value = member(document, name);
  if (value && !value->is_string()) refuse(std::string("malformed manifest: ") + name + " is not a string");
}

// RFC 6838, 4.2: restricted-name.
bool is_name(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("!#$&-^_.+").find(c) != std::string_view::npos;
  });
}

bool is_json_type(std::string_view type) {
  const size_t slash = type.find('/');
  if (type.size() > kTypeLimit || slash == std::string_view::npos) return false;
  const std::string_view subtype = type.substr(slash + 1);
  if (!is_name(type.substr(0, slash)) || !is_name(subtype)) return false;
  return subtype == "json" || subtype.ends_with("+json") || type == kSignedDocker;
}

}  // namespace

json parse_pushed(std::string_view bytes) {
  // The parser would pass over it; other readers do not (RFC 8259, 8.1).
  if (bytes.starts_with("\xEF\xBB\xBF")) refuse("malformed manifest: it begins with a byte order mark");
  json document = parse_document(bytes, "manifest");
  for (const char* name : {"mediaType", "artifactType"}) check_text(document, name);
  if (const json* subject = member(document, "subject"); subject && !subject->is_object())
    refuse("malformed manifest: subject is not an object");
  const json* annotations = member(document, "annotations");
  if (!annotations) return document;
  const auto is_text = [](const json& value) { return value.is_string(); };
  if (!annotations->is_object() || !std::ranges::all_of(*annotations, is_text))
    refuse("malformed manifest: annotations are not texts by name");
  return document;
}

std::string pushed_media_type(std::string_view content_type, const json& document) {
  std::string type(trim(content_type.substr(0, content_type.find(';'))));
  if (const json* value = member(document, "mediaType")) {
    const std::string own = value->get<std::string>();
    if (type.empty()) type = own;
    if (type != own) refuse("Content-Type says " + type + ", the manifest itself " + own);
  }
  if (type.empty()) return std::string(document.contains("manifests") ? media::kIndex : media::kManifest);
  if (!is_json_type(type))
    refuse("\"" + type.substr(0, kTypeLimit) +
           "\" is no media type of a manifest: those are application/json or end with +json");
  return type;
}

}  // namespace kiln::registry::detail
