#include <unordered_map>

#include "base/text.h"
#include "dag/fields.h"

namespace kiln::dag {
namespace {

using Kind = VolumeSource::Kind;

VolumeSource source_of(const Node& node, Kind kind) {
  VolumeSource out;
  out.kind = kind;
  out.at = node.at;
  return out;
}

std::vector<KeyToPath> decode_items(DecodeContext& context, Fields& source) {
  std::vector<KeyToPath> out;
  for (const Node* item : source.items("items")) {
    Fields fields(context, *item, "item");
    KeyToPath one;
    one.key = fields.text("key");
    one.path = fields.text("path");
    one.mode = fields.integer("mode");
    fields.done();
    out.push_back(std::move(one));
  }
  return out;
}

// An item of a downwardAPI: one of `fieldRef` and `resourceFieldRef` instead of a key.
KeyToPath decode_downward_item(DecodeContext& context, const Node& node) {
  Fields fields(context, node, "item");
  KeyToPath out;
  out.path = fields.text("path");
  out.mode = fields.integer("mode");
  if (const Node* ref = fields.mapping("fieldRef")) {
    Fields field(context, *ref, "fieldRef");
    out.key = field.text("fieldPath");
    field.ignore({"apiVersion"});
    field.done();
  }
  if (const Node* ref = fields.mapping("resourceFieldRef")) {
    Fields field(context, *ref, "resourceFieldRef");
    out.resource = true;
    out.key = field.text("resource");
    out.container = field.text("containerName");
    out.divisor = field.scalar("divisor");
    field.done();
  }
  fields.done();
  if (out.key.empty())
    context.error(node.at, "expected exactly one, got neither: fieldRef, resourceFieldRef",
                  "for example fieldRef: {fieldPath: metadata.labels}");
  return out;
}

VolumeSource decode_downward(DecodeContext& context, const Node& node) {
  Fields fields(context, node, "downwardAPI");
  VolumeSource out = source_of(node, Kind::DownwardApi);
  for (const Node* item : fields.items("items")) out.items.push_back(decode_downward_item(context, *item));
  out.default_mode = fields.integer("defaultMode");
  fields.done();
  return out;
}

VolumeSource decode_token(DecodeContext& context, const Node& node) {
  Fields fields(context, node, "serviceAccountToken");
  VolumeSource out = source_of(node, Kind::ServiceAccountToken);
  out.name = fields.text("path");
  fields.ignore({"audience", "expirationSeconds"});
  fields.done();
  return out;
}

VolumeSource decode_named(DecodeContext& context, const Node& node, Kind kind, std::string_view what,
                          std::string_view name_field) {
  Fields fields(context, node, what);
  VolumeSource out = source_of(node, kind);
  out.name = fields.text(name_field);
  out.items = decode_items(context, fields);
  out.default_mode = fields.integer("defaultMode");
  out.optional = fields.flag("optional");
  if (kind == Kind::Secret && out.name.empty()) out.name = fields.text("name");  // as a projection spells it
  fields.done();
  if (out.name.empty() && !fields.reported(name_field))
    context.error(node.at, "missing field(s): " + std::string(what) + "." + std::string(name_field),
                  std::string(what) + ": {" + std::string(name_field) + ": …}");
  return out;
}

VolumeSource decode_projected(DecodeContext& context, const Node& node) {
  Fields fields(context, node, "projected");
  VolumeSource out = source_of(node, Kind::Projected);
  out.default_mode = fields.integer("defaultMode");
  for (const Node* item : fields.items("sources")) {
    Fields source(context, *item, "projected source");
    if (const Node* map = source.mapping("configMap"))
      out.sources.push_back(decode_named(context, *map, Kind::ConfigMap, "configMap", "name"));
    if (const Node* secret = source.mapping("secret"))
      out.sources.push_back(decode_named(context, *secret, Kind::Secret, "secret", "name"));
    if (const Node* downward = source.mapping("downwardAPI"))
      out.sources.push_back(decode_downward(context, *downward));
    if (const Node* token = source.mapping("serviceAccountToken"))
      out.sources.push_back(decode_token(context, *token));
    for (std::string_view key : {"clusterTrustBundle", "podCertificate"})
      if (const Node* other = source.mapping(key)) {
        out.sources.emplace_back().kind = Kind::Other;
        out.sources.back().at = other->at;
      }
    source.done();
  }
  fields.done();
  if (out.sources.empty())
    context.error(node.at, "missing field(s): projected.sources",
                  "projected: {sources: [{secret: {name: …}}, …]}");
  return out;
}

// The name and readOnly of a source of which nothing else is used.
VolumeSource decode_opaque(const Node& node, Kind kind, std::string_view name_field) {
  VolumeSource out = source_of(node, kind);
  for (const Entry& entry : node.entries) {
    if (!name_field.empty() && iequals(entry.key, name_field))
      out.name = {entry.value->scalar, entry.value->at};
    if (iequals(entry.key, "readOnly")) out.read_only = entry.value->scalar == "true";
  }
  return out;
}

}  // namespace

std::vector<VolumeSource> decode_volume_sources(DecodeContext& context, Fields& owner) {
  std::vector<VolumeSource> out;
  // `emptyDir:` without a value is null, and still says what is wanted.
  if (const Node* node = owner.find_given("emptyDir")) {
    Fields fields(context, *node, "emptyDir");
    VolumeSource& source = out.emplace_back();
    source.at = node->at;
    source.medium = fields.text("medium");
    source.size_limit = fields.scalar("sizeLimit");
    fields.done();
  }
  if (const Node* node = owner.mapping("persistentVolumeClaim")) {
    out.push_back(decode_opaque(*node, Kind::PersistentVolumeClaim, "claimName"));
    if (out.back().name.empty())
      context.error(node->at, "missing field(s): persistentVolumeClaim.claimName",
                    "persistentVolumeClaim: {claimName: …}");
    check_plain_name(context, out.back().name, "claim");
  }
  if (const Node* node = owner.mapping("configMap"))
    out.push_back(decode_named(context, *node, Kind::ConfigMap, "configMap", "name"));
  if (const Node* node = owner.mapping("secret"))
    out.push_back(decode_named(context, *node, Kind::Secret, "secret", "secretName"));
  if (const Node* node = owner.mapping("projected")) out.push_back(decode_projected(context, *node));
  if (const Node* node = owner.mapping("csi")) {
    out.push_back(decode_opaque(*node, Kind::Csi, "driver"));
    if (out.back().name.empty()) context.error(node->at, "missing field(s): csi.driver", "csi: {driver: …}");
  }
  if (const Node* node = owner.mapping("hostPath"))
    out.push_back(decode_opaque(*node, Kind::HostPath, "path"));
  return out;
}

std::vector<Volume> decode_volumes(DecodeContext& context, Fields& spec) {
  std::vector<Volume> out;
  std::unordered_map<std::string, int> lines;
  for (const Node* item : spec.items("volumes")) {
    Fields fields(context, *item, "volume");
    Volume volume;
    volume.name = fields.text("name");
    std::vector<VolumeSource> sources = decode_volume_sources(context, fields);
    if (const Node* node = fields.mapping("downwardAPI")) sources.push_back(decode_downward(context, *node));
    for (std::string_view other : {"ephemeral",
                                   "nfs",
                                   "image",
                                   "gcePersistentDisk",
                                   "awsElasticBlockStore",
                                   "azureDisk",
                                   "azureFile",
                                   "iscsi",
                                   "cephfs",
                                   "rbd",
                                   "fc",
                                   "local",
                                   "glusterfs",
                                   "flexVolume",
                                   "cinder",
                                   "flocker",
                                   "gitRepo",
                                   "quobyte",
                                   "vsphereVolume",
                                   "portworxVolume",
                                   "photonPersistentDisk",
                                   "scaleIO",
                                   "storageos"})
      if (const Node* node = fields.mapping(other)) sources.push_back(decode_opaque(*node, Kind::Other, ""));
    fields.done();
    if (sources.size() > 1)
      context.error(item->at, "volume \"" + volume.name.value + "\" has more than one source",
                    "a volume has one source");
    if (!sources.empty()) volume.source = std::move(sources.front());
    if (volume.name.empty()) context.error(item->at, "a volume needs a `name`");
    check_plain_name(context, volume.name, "volume");
    if (!volume.name.empty())
      if (const auto [other, fresh] = lines.emplace(volume.name.value, volume.name.at.line); !fresh)
        context.error(volume.name.at, "multiple volumes with same name \"" + volume.name.value + "\"",
                      "the other is on line " + std::to_string(other->second));
    out.push_back(std::move(volume));
  }
  return out;
}

}  // namespace kiln::dag
