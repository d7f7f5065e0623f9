#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>

#include "dag/yaml.h"

// Editing of node trees, for convert*.cc. Nodes that were parsed may be shared by aliases and are never
// changed: a copy is edited, and its children are still the old ones.
namespace kiln::dag {

// The entry as Go's JSON finds it: exactly, else without regard to case. nullptr: absent or null.
Entry* find_entry(Node& mapping, std::string_view key);
const Node* get(const Node& mapping, std::string_view key);
std::string get_text(const Node& mapping, std::string_view key);  // "" when it is no scalar
bool get_flag(const Node& mapping, std::string_view key);

void rename(Node& mapping, std::string_view from, std::string_view to);  // unless `to` is there already
std::optional<Entry> take(Node& mapping, std::string_view key);          // out of the mapping
void put(Node& mapping, std::string key, Position at, const Node* value);

class Tree {
 public:
  explicit Tree(YamlFile& file) : file_(file) {}

  Node& copy(const Node& node) { return file_.nodes.emplace_back(node); }
  Node& mapping(Position at);
  Node& sequence(Position at);
  const Node* text(std::string value, Position at);
  const Node* flag(bool value, Position at);

  // The mapping or list at `key` as one that can be edited: a copy the first time, a new one when there is
  // none. nullptr when it is something else, which is the decoder's to report.
  Node* edit_mapping(Node& owner, std::string_view key, Position at);
  Node* edit_sequence(Node& owner, std::string_view key, Position at);

  // Calls edit(copy) for the mapping at `key`, and for each mapping in the list at `key`.
  template <class Edit>
  void nested(Node& owner, std::string_view key, Edit edit) {
    Entry* entry = find_entry(owner, key);
    if (entry == nullptr || entry->value->kind != Node::Kind::Mapping) return;
    Node& made = copy(*entry->value);
    entry->value = &made;
    edit(made);
  }
  template <class Edit>
  void each(Node& owner, std::string_view key, Edit edit) {
    Entry* entry = find_entry(owner, key);
    if (entry == nullptr || entry->value->kind != Node::Kind::Sequence) return;
    Node& list = copy(*entry->value);
    entry->value = &list;
    for (const Node*& item : list.items) {
      if (item->kind != Node::Kind::Mapping) continue;
      Node& made = copy(*item);
      item = &made;
      edit(made);
    }
  }

 private:
  Node* edit(Node& owner, std::string_view key, Position at, Node::Kind kind);

  YamlFile& file_;
  std::unordered_set<const Node*> edited_;  // made by edit(), so nobody else's
};

}  // namespace kiln::dag
