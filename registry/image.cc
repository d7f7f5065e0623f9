#include "registry/image.h"

#include <nlohmann/json.hpp>
#include <sys/utsname.h>

#include "base/error.h"
#include "base/text.h"
#include "registry/document.h"

namespace kiln::registry {
namespace {

using nlohmann::json;

constexpr size_t kFanOutLimit = 4096;      // entries of an index, layers of an image
constexpr int64_t kSizeLimit = 1ll << 50;  // no blob is larger; keeps sums from overflowing

[[noreturn]] void malformed(std::string_view what, std::string_view why) {
  throw Error(ErrorKind::Invalid, "malformed " + std::string(what) + ": " + std::string(why));
}

const json* member(const json& object, const char* name) {
  const auto it = object.find(name);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

std::string text_of(const json& object, const char* name, std::string_view what) {
  const json* value = member(object, name);
  if (!value) return {};
  if (!value->is_string()) malformed(what, std::string(name) + " is not a string");
  return value->get<std::string>();
}

std::vector<std::string> texts_of(const json& object, const char* name, std::string_view what) {
  std::vector<std::string> out;
  const json* value = member(object, name);
  if (!value) return out;
  // Docker wrote shell-form entrypoints as a plain string in its oldest images.
  if (value->is_string()) return {value->get<std::string>()};
  if (!value->is_array()) malformed(what, std::string(name) + " is not a list");
  for (const json& item : *value) {
    if (!item.is_string()) malformed(what, std::string(name) + " holds something other than strings");
    out.push_back(item.get<std::string>());
  }
  return out;
}

std::map<std::string, std::string> map_of(const json& object, const char* name, std::string_view what) {
  std::map<std::string, std::string> out;
  const json* value = member(object, name);
  if (!value) return out;
  if (!value->is_object()) malformed(what, std::string(name) + " is not an object");
  for (const auto& [key, item] : value->items()) {
    if (!item.is_string()) malformed(what, std::string(name) + " holds something other than strings");
    out.emplace(key, item.get<std::string>());
  }
  return out;
}

// {"8080/tcp": {}} → the keys, sorted.
std::vector<std::string> keys_of(const json& object, const char* name, std::string_view what) {
  std::vector<std::string> out;
  const json* value = member(object, name);
  if (!value) return out;
  if (!value->is_object()) malformed(what, std::string(name) + " is not an object");
  for (const auto& [key, item] : value->items()) out.push_back(key);
  return out;
}

Digest digest_of(const json& value, std::string_view what) {
  const auto digest = value.is_string() ? Digest::parse(value.get_ref<const std::string&>()) : std::nullopt;
  if (!digest) malformed(what, "a digest is not well-formed");
  return *digest;
}

std::string dump(const json& document) {
  return document.dump(-1, ' ', false, json::error_handler_t::replace);
}

template <class Value>
void put(json& object, const char* name, const Value& value) {
  if (!value.empty()) object[name] = value;
}

void put_keys(json& object, const char* name, const std::vector<std::string>& keys) {
  for (const std::string& key : keys) object[name][key] = json::object();
}

// "No document is two things" (CVE-2021-41190): one that could be read as the other kind is refused.
void check_kind(const json& document, std::string_view what, bool (*is_kind)(std::string_view),
                std::initializer_list<const char*> foreign_members) {
  const std::string type = text_of(document, "mediaType", what);
  if (!type.empty() && !is_kind(type)) malformed(what, "its mediaType is " + type);
  for (const char* name : foreign_members)
    if (document.contains(name)) malformed(what, "it has a member `" + std::string(name) + "`");
  if (const json* version = member(document, "schemaVersion"); version && *version != 2)
    malformed(what, "schemaVersion is not 2");
}

}  // namespace

bool is_manifest(std::string_view type) {
  return type == media::kManifest || type == media::kDockerManifest;
}
bool is_index(std::string_view type) {
  return type == media::kIndex || type == media::kDockerIndex;
}

bool is_foreign(const Descriptor& layer) {
  return layer.media_type.find("foreign") != std::string::npos ||
         layer.media_type.find("nondistributable") != std::string::npos;
}

std::string machine_architecture() {
  utsname name;
  if (::uname(&name) != 0) return "amd64";
  const std::string_view machine = name.machine;
  if (machine == "x86_64") return "amd64";
  if (machine == "aarch64") return "arm64";
  if (machine.starts_with("armv")) return "arm";
  if (machine == "i686" || machine == "i386") return "386";
  return std::string(machine);  // riscv64, ppc64le, s390x are the same in both worlds
}

Descriptor parse_descriptor(const json& value) {
  constexpr std::string_view kWhat = "descriptor";
  if (!value.is_object()) malformed(kWhat, "not an object");
  const json* digest = member(value, "digest");
  const json* size = member(value, "size");
  if (!digest) malformed(kWhat, "it has no digest");
  if (!size || !size->is_number_integer()) malformed(kWhat, "it has no size");
  if (size->is_number_unsigned() ? size->get<uint64_t>() > static_cast<uint64_t>(kSizeLimit)
                                 : size->get<int64_t>() < 0)
    malformed(kWhat, "its size is out of range");
  Descriptor out{text_of(value, "mediaType", kWhat),
                 digest_of(*digest, kWhat),
                 size->get<uint64_t>(),
                 map_of(value, "annotations", kWhat),
                 {},
                 {},
                 {}};
  if (const json* platform = member(value, "platform"); platform && platform->is_object()) {
    out.os = text_of(*platform, "os", kWhat);
    out.architecture = text_of(*platform, "architecture", kWhat);
    out.variant = text_of(*platform, "variant", kWhat);
  }
  return out;
}

json to_json(const Descriptor& descriptor) {
  json out{
      {"mediaType", descriptor.media_type}, {"digest", descriptor.digest.text()}, {"size", descriptor.size}};
  put(out, "annotations", descriptor.annotations);
  if (!descriptor.os.empty() || !descriptor.architecture.empty()) {
    out["platform"] = {{"os", descriptor.os}, {"architecture", descriptor.architecture}};
    put(out["platform"], "variant", descriptor.variant);
  }
  return out;
}

Manifest parse_manifest(std::string_view text) {
  constexpr std::string_view kWhat = "image manifest";
  const json document = parse_document(text, kWhat);
  check_kind(document, kWhat, is_manifest, {"manifests", "fsLayers"});
  const json* config = member(document, "config");
  if (!config) malformed(kWhat, "it has no config");
  Manifest out{{}, parse_descriptor(*config), {}, map_of(document, "annotations", kWhat)};
  out.media_type = text_of(document, "mediaType", kWhat);
  if (out.media_type.empty()) out.media_type = media::kManifest;
  if (const json* layers = member(document, "layers")) {
    if (!layers->is_array() || layers->size() > kFanOutLimit) malformed(kWhat, "layers is not a fair list");
    for (const json& layer : *layers) out.layers.push_back(parse_descriptor(layer));
  }
  return out;
}

std::string serialize(const Manifest& manifest) {
  json layers = json::array();
  for (const Descriptor& layer : manifest.layers) layers.push_back(to_json(layer));
  json out{{"schemaVersion", 2},
           {"mediaType", manifest.media_type},
           {"config", to_json(manifest.config)},
           {"layers", std::move(layers)}};
  put(out, "annotations", manifest.annotations);
  return dump(out);
}

ImageConfig parse_config(std::string_view text) {
  constexpr std::string_view kWhat = "image config";
  const json document = parse_document(text, kWhat);
  ImageConfig out;
  out.os = text_of(document, "os", kWhat);
  out.architecture = text_of(document, "architecture", kWhat);
  out.created = text_of(document, "created", kWhat);
  if (const json* config = member(document, "config")) {
    if (!config->is_object()) malformed(kWhat, "config is not an object");
    out.user = text_of(*config, "User", kWhat);
    out.env = texts_of(*config, "Env", kWhat);
    out.entrypoint = texts_of(*config, "Entrypoint", kWhat);
    out.cmd = texts_of(*config, "Cmd", kWhat);
    out.working_dir = text_of(*config, "WorkingDir", kWhat);
    out.exposed_ports = keys_of(*config, "ExposedPorts", kWhat);
    out.volumes = keys_of(*config, "Volumes", kWhat);
    out.stop_signal = text_of(*config, "StopSignal", kWhat);
    out.labels = map_of(*config, "Labels", kWhat);
  }
  if (const json* rootfs = member(document, "rootfs"); rootfs && rootfs->is_object())
    if (const json* ids = member(*rootfs, "diff_ids")) {
      if (!ids->is_array() || ids->size() > kFanOutLimit) malformed(kWhat, "diff_ids is not a fair list");
      for (const json& id : *ids) out.diff_ids.push_back(digest_of(id, kWhat));
    }
  if (const json* history = member(document, "history")) {
    if (!history->is_array()) malformed(kWhat, "history is not a list");
    for (const json& entry : *history) {
      if (!entry.is_object()) malformed(kWhat, "a history entry is not an object");
      const json* empty = member(entry, "empty_layer");
      out.history.push_back({text_of(entry, "created_by", kWhat), text_of(entry, "comment", kWhat),
                             text_of(entry, "created", kWhat), empty && *empty == true});
    }
  }
  return out;
}

std::string serialize(const ImageConfig& config) {
  json inner = json::object();
  put(inner, "User", config.user);
  put(inner, "Env", config.env);
  put(inner, "Entrypoint", config.entrypoint);
  put(inner, "Cmd", config.cmd);
  put(inner, "WorkingDir", config.working_dir);
  put_keys(inner, "ExposedPorts", config.exposed_ports);
  put_keys(inner, "Volumes", config.volumes);
  put(inner, "StopSignal", config.stop_signal);
  put(inner, "Labels", config.labels);

  json diff_ids = json::array();
  for (const Digest& id : config.diff_ids) diff_ids.push_back(id.text());
  json out{{"os", config.os},
           {"architecture", config.architecture},
           {"config", std::move(inner)},
           {"rootfs", {{"type", "layers"}, {"diff_ids", std::move(diff_ids)}}}};
  put(out, "created", config.created);
  for (const HistoryEntry& entry : config.history) {
    json item = json::object();
    put(item, "created", entry.created);
    put(item, "created_by", entry.created_by);
    put(item, "comment", entry.comment);
    if (entry.empty_layer) item["empty_layer"] = true;
    out["history"].push_back(std::move(item));
  }
  return dump(out);
}

std::vector<Digest> chain_ids(std::span<const Digest> diff_ids) {
  std::vector<Digest> out;
  for (const Digest& diff_id : diff_ids)
    out.push_back(out.empty() ? diff_id : sha256(out.back().text() + " " + diff_id.text()));
  return out;
}

std::vector<Descriptor> parse_index(std::string_view text) {
  constexpr std::string_view kWhat = "image index";
  const json document = parse_document(text, kWhat);
  check_kind(document, kWhat, is_index, {"layers", "config", "fsLayers"});
  const json* manifests = member(document, "manifests");
  std::vector<Descriptor> out;
  if (!manifests) return out;
  if (!manifests->is_array() || manifests->size() > kFanOutLimit)
    malformed(kWhat, "manifests is not a fair list");
  for (const json& entry : *manifests) out.push_back(parse_descriptor(entry));
  return out;
}

}  // namespace kiln::registry
