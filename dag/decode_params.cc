#include <unordered_map>
#include <unordered_set>

#include "base/text.h"
#include "dag/fields.h"

namespace kiln::dag {

std::string_view to_string(ParamType type) {
  switch (type) {
    case ParamType::String:
      return "string";
    case ParamType::Array:
      return "array";
    case ParamType::Object:
      return "object";
  }
  return "string";
}

ParamValue ParamValue::string(std::string text) {
  return {.type = ParamType::String, .text = std::move(text)};
}
ParamValue ParamValue::array(std::vector<std::string> items) {
  return {.type = ParamType::Array, .items = std::move(items)};
}
ParamValue ParamValue::object(std::map<std::string, std::string> fields) {
  return {.type = ParamType::Object, .fields = std::move(fields)};
}

std::string Metadata::display() const {
  if (!name.empty()) return name;
  std::string_view generated = generate_name.value;
  while (generated.ends_with('-')) generated.remove_suffix(1);
  return std::string(generated);
}

namespace {

// What other languages call the three types.
std::string type_hint(const std::string& word) {
  static const std::vector<std::string> kTypes{"string", "array", "object"};
  for (const auto& [other, type] :
       {std::pair{"list", "array"}, std::pair{"map", "object"}, std::pair{"dict", "object"}})
    if (iequals(word, other)) return std::string("did you mean `") + type + "`?";
  for (const char* scalar : {"int", "integer", "number", "float", "bool", "boolean"})
    if (iequals(word, scalar)) return "numbers and booleans are strings here: type: string";
  const auto near = nearest(word, kTypes);
  return near ? "did you mean `" + *near + "`?" : "types are string, array and object";
}

std::string other_line(Position at) {
  return "the other is on line " + std::to_string(at.line);
}

// Type of a param or result: as written, else from `properties`, else from the default (Tekton's inference).
ParamType type_of(DecodeContext& context, const Text& type, bool has_properties, const ParamValue* fallback) {
  if (type.value == "string") return ParamType::String;
  if (type.value == "array") return ParamType::Array;
  if (type.value == "object") return ParamType::Object;
  if (!type.empty()) {
    context.error(type.at, "invalid value: unknown type \"" + type.value + "\"", type_hint(type.value));
  }
  if (has_properties) return ParamType::Object;
  return fallback ? fallback->type : ParamType::String;
}

// A value may be a number or a boolean, and Kiln takes it as it is written. A cluster reads it, and writes it
// anew: 1.10 as 1.1, `yes` as true.
void warn_of_rewriting(DecodeContext& context, const Node& node) {
  const ScalarType type = scalar_type(node);
  if (type == ScalarType::String || json_of(node) == node.scalar) return;
  context.report(Severity::Warning, node.at,
                 "YAML reads " + node.scalar + " as a " +
                     (type == ScalarType::Number ? "number" : "boolean") +
                     ", and Tekton on a cluster does not keep how it was written",
                 "put it in quotes: \"" + node.scalar + "\"");
}

constexpr const char* kParamHint = "each item is `- name: …`, with its `value` or `type` below";

std::vector<std::string> decode_properties(DecodeContext& context, Fields& fields) {
  std::vector<std::string> keys;
  const Node* properties = fields.mapping("properties");
  if (properties == nullptr) return keys;
  for (const Entry& entry : properties->entries) {
    keys.push_back(entry.key);
    Fields property(context, *entry.value, "property");
    const Text type = property.text("type");
    if (!type.empty() && type.value != "string")
      context.error(type.at,
                    "The value type specified for these keys [" + entry.key +
                        "] is invalid: properties of an object are strings, not " + type.value,
                    "write `type: string`, or leave `type` out");
    property.ignore({"description"});
    property.done();
  }
  return keys;
}

}  // namespace

std::vector<ParamSpec> decode_param_specs(DecodeContext& context, Fields& owner) {
  std::vector<ParamSpec> out;
  const Node* list = owner.sequence("params");
  if (list == nullptr) return out;
  std::unordered_map<std::string, Position> seen;
  for (const Node* item : list->items) {
    Fields fields(context, *item, "param");
    ParamSpec spec;
    spec.name = fields.text("name");
    const Text type = fields.text("type");
    if (const Node* node = fields.find("default")) {
      spec.default_value = param_value(*node);
      warn_of_rewriting(context, *node);
      spec.default_at = node->at;
    }
    spec.enumeration = fields.texts("enum");
    spec.properties = decode_properties(context, fields);
    spec.type =
        type_of(context, type, !spec.properties.empty(), spec.default_value ? &*spec.default_value : nullptr);
    spec.description = fields.text("description");
    fields.done();
    if (spec.name.empty()) {
      if (!fields.reported("name")) context.error(item->at, "a param needs a `name`", kParamHint);
      continue;
    }
    if (const auto [other, fresh] = seen.emplace(spec.name, spec.name.at); !fresh) {
      context.error(spec.name.at, "parameter appears more than once: \"" + spec.name.value + "\"",
                    other_line(other->second));
      continue;
    }
    out.push_back(std::move(spec));
  }
  return out;
}

std::vector<Param> decode_params(DecodeContext& context, Fields& owner, NamesDiffer names) {
  std::vector<Param> out;
  std::unordered_map<std::string, Text> seen;
  for (const Node* item : owner.items("params")) {
    Fields fields(context, *item, "param");
    Param param;
    param.name = fields.text("name");
    param.at = param.name.at;
    if (const Node* node = fields.find("value")) {
      param.value = param_value(*node);
      warn_of_rewriting(context, *node);
      param.at = node->at;
    }
    fields.done();
    if (param.name.empty()) {
      if (!fields.reported("name")) context.error(item->at, "a param needs a `name`", kParamHint);
      continue;
    }
    const std::string& name = param.name.value;
    const auto [other, fresh] =
        seen.emplace(names == NamesDiffer::Exactly ? name : to_lower(name), param.name);
    if (!fresh) {
      context.error(param.name.at,
                    "parameter names must be unique, the parameter \"" + name +
                        "\" is also defined at line " + std::to_string(other->second.at.line),
                    name == other->second.value ? "keep one of them"
                                                : "here names are compared without regard to case");
      continue;
    }
    out.push_back(std::move(param));
  }
  return out;
}

std::vector<ResultSpec> decode_results(DecodeContext& context, Fields& owner) {
  std::vector<ResultSpec> out;
  const Node* list = owner.sequence("results");
  if (list == nullptr) return out;
  std::unordered_set<std::string> seen;
  for (const Node* item : list->items) {
    Fields fields(context, *item, "result");
    ResultSpec spec;
    spec.name = fields.text("name");
    const Text type = fields.text("type");
    if (const Node* node = fields.find("value")) {
      spec.value = param_value(*node);
      spec.value_at = node->at;
    }
    spec.properties = decode_properties(context, fields);
    spec.type = type_of(context, type, !spec.properties.empty(), spec.value ? &*spec.value : nullptr);
    spec.description = fields.text("description");
    fields.done();
    if (spec.name.empty()) {
      if (!fields.reported("name")) context.error(item->at, "a result needs a `name`", "- name: digest");
      continue;
    }
    if (!seen.insert(spec.name.value).second)
      context.report(Severity::Warning, spec.name.at, "result `" + spec.name.value + "` is declared twice");
    out.push_back(std::move(spec));
  }
  return out;
}

std::vector<WorkspaceDeclaration> decode_workspaces(DecodeContext& context, Fields& owner) {
  std::vector<WorkspaceDeclaration> out;
  const Node* list = owner.sequence("workspaces");
  if (list == nullptr) return out;
  std::unordered_map<std::string, Position> seen;
  for (const Node* item : list->items) {
    Fields fields(context, *item, "workspace");
    WorkspaceDeclaration workspace;
    workspace.name = fields.text("name");
    workspace.mount_path = fields.text("mountPath");
    workspace.optional = fields.flag("optional");
    workspace.read_only = fields.flag("readOnly");
    workspace.description = fields.text("description");
    fields.done();
    if (workspace.name.empty()) {
      if (!fields.reported("name")) context.error(item->at, "a workspace needs a `name`", "- name: source");
      continue;
    }
    check_plain_name(context, workspace.name, "workspace");
    const auto [other, fresh] = seen.emplace(workspace.name.value, workspace.name.at);
    if (!fresh)
      context.error(workspace.name.at, "workspace name \"" + workspace.name.value + "\" must be unique",
                    other_line(other->second));
    out.push_back(std::move(workspace));
  }
  return out;
}

}  // namespace kiln::dag
