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

}  // namespace kiln::dag::testing
