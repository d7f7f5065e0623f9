#include "base/text.h"
#include "dag/fields.h"

namespace kiln::dag {
namespace {

// Values in base64, as `data` of a Secret has them. The text itself never gets into a message.
void decode_base64(DecodeContext& context, Fields& object, std::string_view key, KeyValues& out) {
  const Node* node = object.mapping(key);
  if (node == nullptr) return;
  for (const Entry& entry : node->entries) {
    std::string compact;
    for (char c : entry.value->scalar)
      if (c != '\n' && c != ' ' && c != '\r') compact += c;
    if (auto bytes = base64_decode(compact);
        bytes && entry.value->kind != Node::Kind::Sequence && entry.value->kind != Node::Kind::Mapping)
      out.values[entry.key] = std::move(*bytes);
    else
      context.error(entry.value->at, "`" + entry.key + "` is not valid base64",
                    key == "data" ? "`stringData` takes plain text" : "");
  }
}

void decode_plain(DecodeContext& context, Fields& object, std::string_view key, KeyValues& out) {
  if (const Node* node = object.mapping(key))
    for (const Entry& entry : node->entries)
      out.values[entry.key] = text_of(context, *entry.value, entry.key).value;
}

std::vector<Text> decode_names(DecodeContext& context, Fields& object, std::string_view key) {
  std::vector<Text> out;
  for (const Node* item : object.items(key)) {
    Fields reference(context, *item, key);
    out.push_back(reference.text("name"));
    reference.ignore({"namespace", "kind", "uid", "apiVersion", "resourceVersion", "fieldPath"});
    reference.done();
  }
  return out;
}

}  // namespace

KeyValues decode_config_map(DecodeContext& context, Fields& object) {
  KeyValues out;
  decode_base64(context, object, "binaryData", out);
  decode_plain(context, object, "data", out);
  object.ignore({"immutable"});
  return out;
}

KeyValues decode_secret(DecodeContext& context, Fields& object) {
  KeyValues out;
  out.type = object.text("type");
  decode_base64(context, object, "data", out);
  decode_plain(context, object, "stringData", out);
  object.ignore({"immutable"});
  return out;
}

ServiceAccount decode_service_account(DecodeContext& context, Fields& object) {
  ServiceAccount out;
  out.secrets = decode_names(context, object, "secrets");
  out.image_pull_secrets = decode_names(context, object, "imagePullSecrets");
  object.ignore({"automountServiceAccountToken"});
  return out;
}

}  // namespace kiln::dag
