#include "registry/referrers.h"

#include <nlohmann/json.hpp>

namespace kiln::registry {

using nlohmann::json;

json referrer_entry(const Descriptor& manifest, const json& document) {
  const auto text = [](const json& object, const char* key) {
    const auto member = object.find(key);
    return member != object.end() && member->is_string() ? member->get<std::string>() : "";
  };
  json out{{"mediaType", manifest.media_type}, {"digest", manifest.digest.text()}, {"size", manifest.size}};
  if (!document.is_object()) return out;
  std::string type = text(document, "artifactType");
  const auto config = document.find("config");
  if (type.empty() && config != document.end() && config->is_object()) type = text(*config, "mediaType");
  if (!type.empty()) out["artifactType"] = type;
  const auto annotations = document.find("annotations");
  if (annotations != document.end() && annotations->is_object()) out["annotations"] = *annotations;
  return out;
}

std::string referrers_tag(const Digest& subject) {
  return std::string(subject.algorithm()).substr(0, 32) + "-" + std::string(subject.encoded()).substr(0, 64);
}

}  // namespace kiln::registry
