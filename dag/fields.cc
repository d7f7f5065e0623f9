#include "dag/fields.h"

#include <algorithm>
#include <cassert>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "dag/field_hints.h"
#include "dag/field_names.h"
#include "dag/substitution.h"

namespace kiln::dag {
namespace {

bool is_deep(const Node& node) {
  return node.kind == Node::Kind::Sequence || node.kind == Node::Kind::Mapping;
}

// Where a mapping is wanted.
bool is_unreadable(const Node& node) {
  return node.kind != Node::Kind::Mapping && node.kind != Node::Kind::Null;
}

}  // namespace

Fields::Fields(DecodeContext& context, const Node& node, std::string_view what)
    : context_(context), node_(node), what_(what), used_(node.entries.size()) {
  if (is_unreadable(node))
    context.error(node.at,
                  "expected " + std::string(what) + " as a mapping, found " + std::string(name_of(node)),
                  mapping_hint(node));
  for (size_t i = 0; i < node.entries.size(); ++i)
    if (!is_field_name(node.entries[i].key)) strange_.push_back(i);
}

// The entry that was meant as `key`, reported; the number of entries when there is none.
size_t Fields::find_misspelt(std::string_view key) {
  constexpr size_t kSlips = 32;  // in one mapping; more of them, and it is no typing slip
  if (strange_.size() > kSlips) return node_.entries.size();
  for (size_t i : strange_) {
    const Entry& entry = node_.entries[i];
    if (used_[i] || !stands_for(entry.key, key)) continue;
    context_.error(entry.key_at, "unknown field `" + entry.key.substr(0, 100) + "` in " + std::string(what_),
                   "did you mean `" + std::string(key) + "`?");
    return i;
  }
  return node_.entries.size();
}

Position Fields::key_at(std::string_view key) const {
  for (const Entry& entry : node_.entries)
    if (iequals(entry.key, key)) return entry.key_at;
  return node_.at;
}

bool Fields::reported(std::string_view key) const {
  return is_unreadable(node_) || std::ranges::find(reported_, key) != reported_.end();
}

const Node* Fields::find(std::string_view key) {
  const Node* node = find_given(key);
  return node == nullptr || node->kind == Node::Kind::Null ? nullptr : node;
}

const Node* Fields::find_given(std::string_view key) {
  assert(is_field_name(key));
  known_.push_back(key);
  size_t found = node_.entries.size();
  for (size_t i = 0; i < node_.entries.size(); ++i) {
    if (node_.entries[i].key == key) {
      found = i;
      break;
    }
    if (found == node_.entries.size() && !used_[i] && iequals(node_.entries[i].key, key)) found = i;
  }
  const bool misspelt = found == node_.entries.size() && !strange_.empty();
  if (misspelt) found = find_misspelt(key);
  if (found == node_.entries.size()) return nullptr;
  const Entry& entry = node_.entries[found];
  if (entry.key != key && !used_[found] && !misspelt)
    context_.report(Severity::Warning, entry.key_at,
                    "field `" + entry.key + "` is spelt `" + std::string(key) + "`",
                    "Kubernetes takes it, other tools may not");
  used_[found] = true;
  return entry.value;
}

const Node* Fields::sequence(std::string_view key) {
  const Node* node = find(key);
  if (node == nullptr || node->kind == Node::Kind::Sequence) return node;
  reported_.emplace_back(key);
  context_.error(node->at, "`" + std::string(key) + "` takes a list, found " + std::string(name_of(*node)),
                 list_hint(key, *node));
  return nullptr;
}

const Node* Fields::mapping(std::string_view key) {
  const Node* node = find(key);
  if (node == nullptr || node->kind == Node::Kind::Mapping) return node;
  reported_.emplace_back(key);
  std::string hint = mapping_hint(*node);
  if (hint.empty() && key.ends_with("Ref") && node->kind == Node::Kind::Scalar)
    hint = "write " + std::string(key) + ": {name: " + node->scalar.substr(0, 60) + "}";
  context_.error(node->at, "`" + std::string(key) + "` takes a mapping, found " + std::string(name_of(*node)),
                 std::move(hint));
  return nullptr;
}

const std::vector<const Node*>& Fields::items(std::string_view key) {
  static const std::vector<const Node*> kNone;
  const Node* node = sequence(key);
  return node == nullptr ? kNone : node->items;
}

bool is_dns_label(std::string_view name) {
  if (name.empty() || name.size() > 63 || name.front() == '-' || name.back() == '-') return false;
  return std::ranges::all_of(
      name, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; });
}

bool is_plain_name(std::string_view name) {
  const auto alphanumeric = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  if (name.empty() || name.size() > 253 || !alphanumeric(name.front()) || !alphanumeric(name.back()))
    return false;
  return std::ranges::all_of(name,
                             [&](char c) { return alphanumeric(c) || c == '-' || c == '_' || c == '.'; });
}

bool is_object_name(std::string_view name) {
  const auto alphanumeric = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  if (name.empty() || name.size() > 63 || !alphanumeric(name.front()) || !alphanumeric(name.back()))
    return false;
  return std::ranges::all_of(name, [&](char c) { return alphanumeric(c) || c == '-' || c == '.'; });
}

void check_plain_name(DecodeContext& context, const Text& name, std::string_view what) {
  if (!name.empty() && !is_plain_name(name.value) && !may_have_variables(name.value))
    context.error(name.at, "invalid " + std::string(what) + " name \"" + name.value.substr(0, 100) + "\"",
                  "letters, digits, `-`, `_` and `.`, with a letter or digit at both ends");
}

Text text_of(DecodeContext& context, const Node& node, std::string_view field) {
  if (node.kind == Node::Kind::Null) return {"", node.at};
  if (node.kind != Node::Kind::Scalar) {
    context.error(node.at, "`" + std::string(field) + "` takes a string, found " + std::string(name_of(node)),
                  string_hint(node));
    return {"", node.at};
  }
  if (scalar_type(node) != ScalarType::String)
    context.error(node.at,
                  "`" + std::string(field) + "` takes a string, but YAML reads " + node.scalar + " as " +
                      std::string(name_of(node)),
                  "put it in quotes: \"" + node.scalar + "\"");
  return {node.scalar, node.at};
}

Text Fields::text(std::string_view key) {
  const Node* node = find(key);
  if (node != nullptr && is_deep(*node)) reported_.emplace_back(key);
  return node ? text_of(context_, *node, key) : Text{};
}

Text scalar_of(DecodeContext& context, const Node& node, std::string_view field) {
  if (node.kind == Node::Kind::Scalar) return {node.scalar, node.at};
  return text_of(context, node, field);
}

Text Fields::scalar(std::string_view key) {
  const Node* node = find(key);
  return node ? scalar_of(context_, *node, key) : Text{};
}

std::vector<Text> Fields::texts(std::string_view key) {
  std::vector<Text> out;
  const auto& list = items(key);
  out.reserve(list.size());
  for (const Node* item : list) out.push_back(text_of(context_, *item, key));
  return out;
}

bool Fields::flag(std::string_view key, bool fallback) {
  return optional_flag(key).value_or(fallback);
}

std::optional<bool> Fields::optional_flag(std::string_view key) {
  const Node* node = find(key);
  if (node == nullptr) return std::nullopt;
  if (scalar_type(*node) == ScalarType::Boolean) {
    const std::string word = to_lower(node->scalar);
    return word == "true" || word == "yes" || word == "on" || word == "y";
  }
  context_.error(
      node->at, "`" + std::string(key) + "` takes true or false, found " + std::string(name_of(*node)),
      node->kind == Node::Kind::Scalar && (iequals(node->scalar, "true") || iequals(node->scalar, "false"))
          ? "write it without quotes: " + to_lower(node->scalar)
          : "");
  return std::nullopt;
}

std::optional<int64_t> integer_of(DecodeContext& context, const Node& node, std::string_view field) {
  int64_t value = 0;
  const char* end = node.scalar.data() + node.scalar.size();
  if (node.kind == Node::Kind::Scalar && node.plain) {
    // YAML 1.1 writes octal, the way file modes are written, with a leading 0.
    const bool octal = node.scalar.size() > 1 && node.scalar.front() == '0';
    const auto [rest, problem] = std::from_chars(node.scalar.data(), end, value, octal ? 8 : 10);
    if (problem == std::errc() && rest == end && !node.scalar.empty()) return value;
  }
  const bool digits =
      !node.scalar.empty() && node.scalar.find_first_not_of("0123456789") == std::string::npos;
  context.error(node.at,
                "`" + std::string(field) + "` takes a whole number, found " +
                    (node.kind == Node::Kind::Scalar ? "\"" + node.scalar.substr(0, 40) + "\""
                                                     : std::string(name_of(node))),
                digits ? "write it without quotes: " + node.scalar.substr(0, 40) : "write it in digits");
  return std::nullopt;
}

std::optional<int64_t> Fields::integer(std::string_view key) {
  const Node* node = find(key);
  return node == nullptr ? std::nullopt : integer_of(context_, *node, key);
}

Labels Fields::labels(std::string_view key) {
  Labels out;
  if (const Node* node = mapping(key))
    for (const Entry& entry : node->entries) out[entry.key] = text_of(context_, *entry.value, entry.key);
  return out;
}

void Fields::ignore(std::initializer_list<std::string_view> keys) {
  for (std::string_view key : keys) find(key);
}

void Fields::ignore_aloud(std::initializer_list<std::string_view> keys) {
  for (std::string_view key : keys)
    if (const Node* node = find(key))
      context_.report(Severity::Note, node->at, "`" + std::string(key) + "` has no effect on one machine");
}

void Fields::done() {
  for (size_t i = 0; i < used_.size(); ++i) {
    if (used_[i]) continue;
    const Entry& entry = node_.entries[i];
    if (std::ranges::find(known_, entry.key) != known_.end()) continue;  // given twice: already reported
    const std::vector<std::string> candidates(known_.begin(), known_.end());
    const std::optional<std::string> near = nearest(entry.key, candidates);
    if (near) reported_.push_back(*near);
    if (const std::string hint = missing_space_hint(entry.key); !hint.empty()) {
      context_.error(
          entry.key_at,
          "expected a field of " + std::string(what_) + ", found \"" + entry.key.substr(0, 100) + "\"", hint);
      reported_.push_back(entry.key.substr(0, entry.key.find(':')));
      continue;
    }
    context_.error(entry.key_at, "unknown field `" + entry.key.substr(0, 100) + "` in " + std::string(what_),
                   near ? "did you mean `" + *near + "`?" : "");
  }
}

namespace {

nlohmann::ordered_json to_json(const Node& node) {
  switch (node.kind) {
    case Node::Kind::Null:
      return nullptr;
    case Node::Kind::Sequence: {
      auto out = nlohmann::ordered_json::array();
      for (const Node* item : node.items) out.push_back(to_json(*item));
      return out;
    }
    case Node::Kind::Mapping: {
      // Its `[]` looks through all keys; here none is there twice but by a mistake that was reported.
      nlohmann::ordered_json::object_t out;
      for (const Entry& entry : node.entries) out.emplace_back(entry.key, to_json(*entry.value));
      return out;
    }
    case Node::Kind::Scalar:
      break;
  }
  switch (scalar_type(node)) {
    case ScalarType::Boolean: {
      const std::string word = to_lower(node.scalar);
      return word == "true" || word == "yes" || word == "on" || word == "y";
    }
    case ScalarType::Number:
      // What JSON does not write like YAML (0x10, .5, .inf) stays text.
      if (auto number = nlohmann::ordered_json::parse(node.scalar, nullptr, false); number.is_number())
        return number;
      break;
    case ScalarType::String:
      break;
  }
  return node.scalar;
}

}  // namespace

std::string json_of(const Node& node) {
  return to_json(node).dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

// A list of strings, a mapping of strings, or a string; Tekton keeps anything deeper as the text of its JSON.
ParamValue param_value(const Node& node) {
  switch (node.kind) {
    case Node::Kind::Null:
      return ParamValue::string("");
    case Node::Kind::Scalar:
      return ParamValue::string(node.scalar);
    case Node::Kind::Sequence: {
      if (std::ranges::any_of(node.items, [](const Node* item) { return is_deep(*item); })) break;
      std::vector<std::string> items;
      items.reserve(node.items.size());
      for (const Node* item : node.items) items.push_back(item->scalar);
      return ParamValue::array(std::move(items));
    }
    case Node::Kind::Mapping: {
      if (std::ranges::any_of(node.entries, [](const Entry& entry) { return is_deep(*entry.value); })) break;
      std::map<std::string, std::string> fields;
      for (const Entry& entry : node.entries) fields[entry.key] = entry.value->scalar;
      return ParamValue::object(std::move(fields));
    }
  }
  return ParamValue::string(json_of(node));
}

}  // namespace kiln::dag
