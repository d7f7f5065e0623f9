#include "dag/field_hints.h"

#include "base/text.h"
#include "dag/field_names.h"

namespace kiln::dag {

std::string_view name_of(const Node& node) {
  switch (node.kind) {
    case Node::Kind::Null:
      return "nothing";
    case Node::Kind::Sequence:
      return "a list";
    case Node::Kind::Mapping:
      return "a mapping";
    case Node::Kind::Scalar:
      break;
  }
  switch (scalar_type(node)) {
    case ScalarType::Number:
      return "a number";
    case ScalarType::Boolean:
      return "a boolean";
    case ScalarType::String:
      break;
  }
  return "a string";
}

std::string list_hint(std::string_view key, const Node& node) {
  if (node.kind == Node::Kind::Mapping) {
    const std::string& first = node.entries.empty() ? node.scalar : node.entries.front().key;
    if (first.size() > 1 && first.starts_with('-'))
      return "a space is missing after `-`: `- " + first.substr(1) + "`";
    return "start each item with `- `";
  }
  std::string items = node.scalar;
  if (key == "command")  // one item a word, where nothing quotes a space
    if (items.find_first_of("'\"\\$,[]{}") == std::string::npos) items = replace_all(items, " ", ", ");
  if (items.size() > 60 || items.find_first_of(":#'\"\n") != std::string::npos)
    return "start each item with `- `";
  return "write it as a list: [" + items + "]";
}

std::string missing_space_hint(std::string_view word) {
  const size_t colon = word.find(':');
  if (colon == std::string_view::npos || colon + 1 == word.size() || !is_field_name(word.substr(0, colon)))
    return "";
  return "a space is missing after `" + std::string(word.substr(0, colon + 1)) + "`";
}

std::string mapping_hint(const Node& node) {
  if (node.kind == Node::Kind::Sequence) return "fields stand here without `- `";
  return node.kind == Node::Kind::Scalar && node.plain ? missing_space_hint(node.scalar) : "";
}

std::string string_hint(const Node& node) {
  if (node.kind == Node::Kind::Sequence && node.items.size() == 1 &&
      node.items.front()->kind == Node::Kind::Scalar)
    return "write it without the list: " + node.items.front()->scalar.substr(0, 60);
  if (node.kind == Node::Kind::Mapping && node.entries.size() == 1) {
    const Node& inner = *node.entries.front().value;
    if (inner.kind == Node::Kind::Scalar && !is_field_name(node.entries.front().key))
      return "is it one text? put it in quotes: \"" + node.entries.front().key.substr(0, 40) + ": …\"";
  }
  return "";
}

}  // namespace kiln::dag
