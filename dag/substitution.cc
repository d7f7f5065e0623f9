#include "dag/substitution.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "dag/texts.h"

namespace kiln::dag {
namespace {

constexpr char kSeparator = '\x1f';  // cannot occur in a name

bool is_name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

std::string key_of(const std::vector<std::string>& path, size_t parts) {
  std::string key;
  for (size_t i = 0; i < parts; ++i) {
    if (i > 0) key += kSeparator;
    key += path[i];
  }
  return key;
}

// Reads "['x']", "["x"]", "[3]" or "[*]" at the front of `rest`. False when it is none of them.
bool take_brackets(std::string_view& rest, Reference& out) {
  const size_t close = rest.find(']');
  if (close == std::string_view::npos) return false;
  std::string_view inside = rest.substr(1, close - 1);
  rest.remove_prefix(close + 1);
  if (inside == "*") {
    out.suffix = Reference::Suffix::Star;
    return rest.empty();
  }
  if (inside.size() >= 3 && (inside.front() == '\'' || inside.front() == '"') &&
      inside.back() == inside.front()) {
    inside = inside.substr(1, inside.size() - 2);
    if (inside.find_first_of("'\"$()[") != std::string_view::npos) return false;
    out.path.emplace_back(inside);
    return true;
  }
  const auto [end, problem] = std::from_chars(inside.data(), inside.data() + inside.size(), out.index);
  if (inside.empty() || problem != std::errc() || end != inside.data() + inside.size()) return false;
  out.suffix = Reference::Suffix::Index;
  return rest.empty();
}

// The reference a text is made of entirely, if it is.
std::optional<Reference> whole_reference(std::string_view text) {
  if (!text.starts_with("$(") || !text.ends_with(')')) return std::nullopt;
  return parse_reference(text.substr(2, text.size() - 3));
}

}  // namespace

std::optional<Reference> parse_reference(std::string_view body) {
  Reference out;
  std::string_view rest = body;
  const auto take_name = [&] {
    size_t n = 0;
    while (n < rest.size() && is_name_char(rest[n])) ++n;
    if (n == 0) return false;
    out.path.emplace_back(rest.substr(0, n));
    rest.remove_prefix(n);
    return true;
  };
  if (!take_name()) return std::nullopt;
  while (!rest.empty()) {
    if (rest.front() == '.') {
      rest.remove_prefix(1);
      if (!take_name()) return std::nullopt;
    } else if (rest.front() == '[') {
      if (!take_brackets(rest, out)) return std::nullopt;
    } else {
      return std::nullopt;
    }
  }
  if (out.path.size() < 2) return std::nullopt;
  // v1alpha1's spelling, still alive in the wild.
  if (out.path[0] == "inputs" && out.path.size() > 2 && out.path[1] == "params")
    out.path.erase(out.path.begin());
  return out;
}

std::vector<Variable> find_variables(std::string_view text) {
  std::vector<Variable> out;
  size_t at = 0;
  while ((at = text.find("$(", at)) != std::string_view::npos) {
    // A reference holds no parenthesis, so the next one decides: a "(" means this was none.
    const size_t end = text.find_first_of("()", at + 2);
    if (end == std::string_view::npos) break;
    if (text[end] == '(') {
      at = end > 0 && text[end - 1] == '$' ? end - 1 : end;
      continue;
    }
    if (auto reference = parse_reference(text.substr(at + 2, end - at - 2)))
      out.push_back({at, end + 1, std::move(*reference)});
    at = end + 1;
  }
  return out;
}

void Variables::set(const std::vector<std::string>& path, ParamValue value) {
  values_.insert_or_assign(key_of(path, path.size()), std::move(value));
}

void Variables::set(std::string_view root, std::string_view name, ParamValue value) {
  values_.insert_or_assign(std::string(root) + kSeparator + std::string(name), std::move(value));
}

void Variables::set(std::string_view root, std::string_view name, std::string_view part,
                    std::string_view text) {
  values_.insert_or_assign(
      std::string(root) + kSeparator + std::string(name) + kSeparator + std::string(part),
      ParamValue::string(std::string(text)));
}

const ParamValue* Variables::value_at(const std::string& key) const {
  if (const auto found = values_.find(key); found != values_.end()) return &found->second;
  return under_ == nullptr ? nullptr : under_->value_at(key);
}

const ParamValue* Variables::exact(const std::vector<std::string>& path) const {
  return value_at(key_of(path, path.size()));
}

void Variables::spend(size_t bytes) const {
  constexpr size_t kMost = 64u << 20;
  spent_ += bytes;
  if (spent_ > kMost)
    throw Error(ErrorKind::Invalid,
                "the values put in for `$(…)` come to more than " + std::to_string(kMost >> 20) + " MiB",
                "a long value is used very many times, or values are made of each other; keep it in a file");
}

std::optional<ParamValue> Variables::find(const Reference& reference) const {
  const std::vector<std::string>& path = reference.path;
  if (const ParamValue* value = exact(path)) {
    if (reference.suffix != Reference::Suffix::Index && value->type != ParamType::String)
      spend(sizeof(std::string) * (value->items.size() + value->fields.size()));
    switch (reference.suffix) {
      case Reference::Suffix::None:
        return *value;
      case Reference::Suffix::Star:
        return *value;
      case Reference::Suffix::Index:
        if (value->type == ParamType::Array && reference.index < value->items.size())
          return ParamValue::string(value->items[reference.index]);
        return std::nullopt;
    }
  }
  if (reference.suffix != Reference::Suffix::None || path.size() < 3) return std::nullopt;
  const ParamValue* object = value_at(key_of(path, path.size() - 1));
  if (object == nullptr || object->type != ParamType::Object) return std::nullopt;
  const auto field = object->fields.find(path.back());
  if (field == object->fields.end()) return std::nullopt;
  return ParamValue::string(field->second);
}

std::string substitute(std::string_view text, const Variables& variables) {
  std::string out;
  size_t copied = 0;
  for (const Variable& variable : find_variables(text)) {
    const std::optional<ParamValue> value = variables.find(variable.reference);
    if (!value || value->type != ParamType::String) continue;
    variables.spend(value->text.size());
    out += text.substr(copied, variable.begin - copied);
    out += value->text;
    copied = variable.end;
  }
  out += text.substr(copied);
  return out;
}

std::vector<Text> substitute_list(const std::vector<Text>& list, const Variables& variables) {
  std::vector<Text> out;
  out.reserve(list.size());
  for (const Text& item : list) {
    if (!may_have_variables(item.value)) {
      out.push_back(item);
      continue;
    }
    if (const auto reference = whole_reference(item.value)) {
      const std::optional<ParamValue> value = variables.find(*reference);
      if (value && value->type == ParamType::Array) {
        for (const std::string& expanded : value->items) {
          variables.spend(sizeof(Text) + expanded.size());
          out.push_back({expanded, item.at});
        }
        continue;
      }
    }
    out.push_back({substitute(item.value, variables), item.at});
  }
  return out;
}

ParamValue substitute_value(const ParamValue& value, const Variables& variables) {
  switch (value.type) {
    case ParamType::String: {
      if (!may_have_variables(value.text)) return value;
      if (const auto reference = whole_reference(value.text))
        if (auto found = variables.find(*reference)) return *found;
      return ParamValue::string(substitute(value.text, variables));
    }
    case ParamType::Array: {
      std::vector<Text> list;
      list.reserve(value.items.size());
      for (const std::string& item : value.items) list.push_back({item, {}});
      std::vector<std::string> items;
      for (Text& item : substitute_list(list, variables)) items.push_back(std::move(item.value));
      return ParamValue::array(std::move(items));
    }
    case ParamType::Object: {
      std::map<std::string, std::string> fields;
      for (const auto& [key, text] : value.fields) fields[key] = substitute(text, variables);
      return ParamValue::object(std::move(fields));
    }
  }
  return value;
}

namespace {

struct Replacer {
  const Variables& variables;
  void operator()(Text& text) {
    if (may_have_variables(text.value)) text.value = substitute(text.value, variables);
  }
  void operator()(std::vector<Text>& list) {
    const auto has = [](const Text& text) { return may_have_variables(text.value); };
    if (std::ranges::any_of(list, has)) list = substitute_list(list, variables);
  }
  void operator()(ParamValue& value, Position) { value = substitute_value(value, variables); }
};

}  // namespace

void substitute_when(When& when, const Variables& variables) {
  Replacer replacer{variables};
  visit_when(when, replacer);
}

void substitute_matrix(Matrix& matrix, const Variables& variables) {
  Replacer replacer{variables};
  visit_matrix(matrix, replacer);
}

void substitute_step(Step& step, const Variables& variables) {
  Replacer replacer{variables};
  visit_step(step, replacer);
}

void substitute_sidecar(Sidecar& sidecar, const Variables& variables) {
  Replacer replacer{variables};
  visit_sidecar(sidecar, replacer);
}

void substitute_volume(Volume& volume, const Variables& variables) {
  Replacer replacer{variables};
  replacer(volume.name);
  visit_volume_source(volume.source, replacer);
}

Ref substitute_ref(Ref ref, const Variables& variables) {
  Replacer replacer{variables};
  replacer(ref.name);
  for (Param& param : ref.params) replacer(param.value, param.at);
  return ref;
}

std::string to_text(const ParamValue& value) {
  switch (value.type) {
    case ParamType::String:
      return value.text;
    case ParamType::Array:
      return nlohmann::json(value.items).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    case ParamType::Object:
      return nlohmann::json(value.fields).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }
  return value.text;
}

}  // namespace kiln::dag
