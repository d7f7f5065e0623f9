#include "dag/convert_tree.h"

#include <algorithm>

#include "base/text.h"

namespace kiln::dag {

Entry* find_entry(Node& mapping, std::string_view key) {
  Entry* found = nullptr;
  for (Entry& entry : mapping.entries) {
    if (entry.key == key) {
      found = &entry;
      break;
    }
    if (found == nullptr && iequals(entry.key, key)) found = &entry;
  }
  return found == nullptr || found->value->kind == Node::Kind::Null ? nullptr : found;
}

const Node* get(const Node& mapping, std::string_view key) {
  const Entry* entry = find_entry(const_cast<Node&>(mapping), key);
  return entry ? entry->value : nullptr;
}

std::string get_text(const Node& mapping, std::string_view key) {
  const Node* node = get(mapping, key);
  return node && node->kind == Node::Kind::Scalar ? node->scalar : std::string();
}

bool get_flag(const Node& mapping, std::string_view key) {
  return to_lower(get_text(mapping, key)) == "true";
}

void rename(Node& mapping, std::string_view from, std::string_view to) {
  if (find_entry(mapping, to) != nullptr && !iequals(from, to)) return;
  if (Entry* entry = find_entry(mapping, from)) entry->key = to;
}

std::optional<Entry> take(Node& mapping, std::string_view key) {
  const Entry* entry = find_entry(mapping, key);
  if (entry == nullptr) return std::nullopt;
  Entry taken = *entry;
  mapping.entries.erase(mapping.entries.begin() + (entry - mapping.entries.data()));
  return taken;
}

void put(Node& mapping, std::string key, Position at, const Node* value) {
  for (Entry& entry : mapping.entries)
    if (entry.key == key) {
      entry.value = value;
      return;
    }
  mapping.entries.push_back({std::move(key), at, value});
}

Node& Tree::mapping(Position at) {
  Node& node = file_.nodes.emplace_back();
  node.kind = Node::Kind::Mapping;
  node.at = at;
  return node;
}

Node& Tree::sequence(Position at) {
  Node& node = file_.nodes.emplace_back();
  node.kind = Node::Kind::Sequence;
  node.at = at;
  return node;
}

const Node* Tree::text(std::string value, Position at) {
  Node& node = file_.nodes.emplace_back();
  node.kind = Node::Kind::Scalar;
  node.at = at;
  node.scalar = std::move(value);
  return &node;
}

const Node* Tree::flag(bool value, Position at) {
  Node& node = file_.nodes.emplace_back();
  node.kind = Node::Kind::Scalar;
  node.plain = true;
  node.at = at;
  node.scalar = value ? "true" : "false";
  return &node;
}

Node* Tree::edit(Node& owner, std::string_view key, Position at, Node::Kind kind) {
  if (Entry* entry = find_entry(owner, key)) {
    if (entry->value->kind != kind) return nullptr;
    if (edited_.contains(entry->value)) return const_cast<Node*>(entry->value);
    Node& made = copy(*entry->value);
    entry->value = &made;
    edited_.insert(&made);
    return &made;
  }
  Node& made = kind == Node::Kind::Mapping ? mapping(at) : sequence(at);
  put(owner, std::string(key), at, &made);
  edited_.insert(&made);
  return &made;
}

Node* Tree::edit_mapping(Node& owner, std::string_view key, Position at) {
  return edit(owner, key, at, Node::Kind::Mapping);
}

Node* Tree::edit_sequence(Node& owner, std::string_view key, Position at) {
  return edit(owner, key, at, Node::Kind::Sequence);
}

}  // namespace kiln::dag
