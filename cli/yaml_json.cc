#include "cli/yaml_json.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/text.h"
#include "dag/yaml.h"

namespace kiln::cli {
namespace {

using nlohmann::json;

json scalar(const dag::Node& node) {
  switch (dag::scalar_type(node)) {
    case dag::ScalarType::Boolean:
      return iequals(node.scalar, "true") || iequals(node.scalar, "yes") || iequals(node.scalar, "on");
    case dag::ScalarType::Number: {
      // A number in YAML is nearly always one in JSON too; what is not (0x1f, 1_000) stays text.
      const json number = json::parse(node.scalar, nullptr, false);
      return number.is_number() ? number : json(node.scalar);
    }
    case dag::ScalarType::String:
      break;
  }
  return node.scalar;
}

json convert(const dag::Node& node) {
  switch (node.kind) {
    case dag::Node::Kind::Null:
      return nullptr;
    case dag::Node::Kind::Scalar:
      return scalar(node);
    case dag::Node::Kind::Sequence: {
      json list = json::array();
      for (const dag::Node* item : node.items) list.push_back(convert(*item));
      return list;
    }
    case dag::Node::Kind::Mapping: {
      json object = json::object();
      for (const dag::Entry& entry : node.entries)
        object[entry.key] = entry.value ? convert(*entry.value) : json();
      return object;
    }
  }
  return nullptr;
}

}  // namespace

json yaml_to_json(std::string_view text, const std::string& name) {
  Diagnostics diagnostics;
  const dag::YamlFile file = dag::parse_yaml(name, text, diagnostics);
  if (has_errors(diagnostics)) {
    std::string message = render(diagnostics.front(), text);
    while (message.ends_with('\n')) message.pop_back();
    throw Error(ErrorKind::Invalid, message);
  }
  if (file.documents.size() != 1)
    throw Error(ErrorKind::Invalid,
                name + " holds " + std::to_string(file.documents.size()) + " documents, one is expected");
  return convert(*file.documents.front());
}

}  // namespace kiln::cli
