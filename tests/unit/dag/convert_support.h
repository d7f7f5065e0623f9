#pragma once

#include <gtest/gtest.h>
#include <map>
#include <string>

#include "dag/convert.h"

namespace kiln::dag::testing {

// The tree as text, without positions and with the fields of mappings in order of their names.
inline std::string text_of_tree(const Node& node) {
  std::string out;
  switch (node.kind) {
    case Node::Kind::Null:
      return "null";
    case Node::Kind::Scalar:
      return scalar_type(node) == ScalarType::String ? "'" + node.scalar + "'" : node.scalar;
    case Node::Kind::Sequence:
      for (const Node* item : node.items) out += "\n- " + text_of_tree(*item);
      break;
    case Node::Kind::Mapping: {
      std::map<std::string, std::string> fields;
      for (const Entry& entry : node.entries) fields[entry.key] = text_of_tree(*entry.value);
      for (const auto& [key, value] : fields) out += "\n" + key + ": " + value;
      break;
    }
  }
  std::string indented;
  for (char c : out) indented += c == '\n' ? std::string("\n  ") : std::string(1, c);
  return out.empty() ? (node.kind == Node::Kind::Sequence ? "[]" : "{}") : indented;
}

// One document, parsed and converted.
struct Converted {
  explicit Converted(const std::string& text) {
    file = parse_yaml("old.yaml", text, diagnostics);
    if (file.documents.size() != 1) {
      ADD_FAILURE() << "one document is expected:\n" << text;
      return;
    }
    DecodeContext context{"old.yaml", diagnostics};
    given = file.documents[0];
    node = &convert(file, *given, context);
    const size_t so_far = diagnostics.size();
    EXPECT_EQ(&convert(file, *node, context), node) << "converting twice is converting once";
    EXPECT_EQ(diagnostics.size(), so_far);
  }
  std::string tree() const { return node ? text_of_tree(*node) : ""; }
  std::string said() const {
    std::string out;
    for (const Diagnostic& d : diagnostics) out += render(d);
    return out;
  }

  YamlFile file;
  Diagnostics diagnostics;
  const Node* given = nullptr;
  const Node* node = nullptr;
};

// What the fields of a git resource declare, as YAML: `prefix.url` and so on.
inline std::string git_params(const std::string& prefix) {
  std::string out = "  - {name: " + prefix + ".url}\n";
  for (const char* field : {"revision: ''", "refspec: ''", "submodules: 'true'", "depth: '1'",
                            "sslVerify: 'true'", "httpProxy: ''", "httpsProxy: ''", "noProxy: ''"}) {
    const std::string text = field;
    const size_t colon = text.find(':');
    out += "  - {name: " + prefix + "." + text.substr(0, colon) + ", default" + text.substr(colon) + "}\n";
  }
  return out;
}

// And what a pipeline task hands on.
inline std::string git_values(const std::string& task_side, const std::string& pipeline_side) {
  std::string out;
  for (const char* field : {"url", "revision", "refspec", "submodules", "depth", "sslVerify", "httpProxy",
                            "httpsProxy", "noProxy"})
    out += "    - {name: " + task_side + "." + field + ", value: '$(params[\"" + pipeline_side + "." + field +
           "\"])'}\n";
  return out;
}

}  // namespace kiln::dag::testing
