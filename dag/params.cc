#include "dag/params.h"

#include <nlohmann/json.hpp>
#include <unordered_map>

#include "base/text.h"

namespace kiln::dag {
namespace {

constexpr int kDeepestDefault = 10;

class Evaluation {
 public:
  Evaluation(const std::vector<ParamSpec>& specs, const std::vector<Param>& given, const Variables& outer,
             const std::function<void(const ParamSpec&)>& on_cycle)
      : outer_(outer), on_cycle_(on_cycle) {
    for (const Param& param : given) given_[param.name.value] = &param;
    for (const ParamSpec& spec : specs) by_name_[spec.name.value] = &spec;
  }

  struct Evaluated {
    ParamValue value;
    int level = 0;  // how many defaults stand under this one; -1: the value was given
  };

  const Evaluated* value(const ParamSpec& spec, int depth) {
    const std::string& name = spec.name.value;
    if (const auto done = values_.find(name); done != values_.end()) return &done->second;
    const auto given = given_.find(name);
    if (given != given_.end() && (!spec.default_value || spec.type != ParamType::Object))
      return keep(name, given->second->value, -1);
    if (!spec.default_value) return nullptr;
    if (depth > kDeepestDefault) {
      complain(spec);
      return keep(name, *spec.default_value, 0);
    }
    int level = 0;
    ParamValue result = with_defaults(*spec.default_value, depth, level);
    if (level > kDeepestDefault) complain(spec);  // whichever of a chain is asked for first
    if (given != given_.end()) {
      if (given->second->value.type != ParamType::Object) return keep(name, given->second->value, -1);
      for (const auto& [key, text] : given->second->value.fields) result.fields[key] = text;
    }
    return keep(name, std::move(result), level);
  }

 private:
  const Evaluated* keep(const std::string& name, ParamValue value, int level) {
    return &(values_[name] = {std::move(value), level});
  }

  void complain(const ParamSpec& spec) {
    if (on_cycle_ && !std::exchange(reported_, true)) on_cycle_(spec);
  }

  ParamValue with_defaults(const ParamValue& written, int depth, int& level) {
    Variables variables;
    const auto need = [&](std::string_view text) {
      if (!may_have_variables(text)) return;
      for (const Variable& variable : find_variables(text)) {
        const Reference& reference = variable.reference;
        if (reference.path[0] != "params") {
          if (const auto known = outer_.find(reference)) variables.set(reference.path, *known);
          continue;
        }
        const auto spec = by_name_.find(reference.path[1]);
        if (spec == by_name_.end()) {
          const std::vector<std::string> path{reference.path[0], reference.path[1]};
          if (const ParamValue* outer = outer_.exact(path)) variables.set(path, *outer);
        } else if (const Evaluated* found = value(*spec->second, depth + 1)) {
          variables.set("params", reference.path[1], found->value);
          level = std::max(level, found->level + 1);
        }
      }
    };
    need(written.text);
    for (const std::string& item : written.items) need(item);
    for (const auto& [key, text] : written.fields) need(text);
    if (variables.empty()) return written;
    ParamValue value = substitute_value(written, variables);
    size_t bytes = value.text.size();
    for (const std::string& item : value.items) bytes += item.size();
    all_.spend(bytes);
    return value;
  }

  const Variables& outer_;
  const Variables all_;  // counts what all defaults together come to
  const std::function<void(const ParamSpec&)>& on_cycle_;
  std::unordered_map<std::string, const Param*> given_;
  std::unordered_map<std::string, const ParamSpec*> by_name_;
  std::map<std::string, Evaluated> values_;  // node-based: references stay valid
  bool reported_ = false;
};

}  // namespace

std::vector<Param> evaluate_params(const std::vector<ParamSpec>& specs, const std::vector<Param>& given,
                                   const Variables& outer,
                                   const std::function<void(const ParamSpec&)>& on_cycle) {
  std::vector<Param> out;
  Evaluation evaluation(specs, given, outer, on_cycle);
  for (const ParamSpec& spec : specs)
    if (const auto* found = evaluation.value(spec, 0))
      out.push_back({spec.name, found->value, spec.default_at, true});
  std::unordered_map<std::string, size_t> place;
  for (size_t i = 0; i < out.size(); ++i) place.emplace(out[i].name.value, i);
  for (const Param& param : given) {
    const auto [known, fresh] = place.emplace(param.name.value, out.size());
    if (fresh) {
      out.push_back(param);
    } else {
      out[known->second].at = param.at;
      out[known->second].is_default = false;
    }
  }
  return out;
}

namespace {

// A JSON scalar as the string Tekton keeps; nullopt for anything deeper.
std::optional<std::string> scalar_text(const nlohmann::json& value) {
  if (value.is_structured()) return std::nullopt;
  return value.is_string() ? value.get<std::string>() : value.dump();
}

}  // namespace

std::optional<ParamValue> value_from_json(ParamType type, std::string_view text) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (type == ParamType::Array && json.is_array()) {
    std::vector<std::string> items;
    for (const auto& item : json) {
      auto scalar = scalar_text(item);
      if (!scalar) return std::nullopt;
      items.push_back(std::move(*scalar));
    }
    return ParamValue::array(std::move(items));
  }
  if (type == ParamType::Object && json.is_object()) {
    std::map<std::string, std::string> fields;
    for (const auto& [key, item] : json.items()) {
      auto scalar = scalar_text(item);
      if (!scalar) return std::nullopt;
      fields[key] = std::move(*scalar);
    }
    return ParamValue::object(std::move(fields));
  }
  return std::nullopt;
}

std::optional<ParamValue> parse_param_flag(ParamType type, std::string_view text) {
  if (type == ParamType::String) return ParamValue::string(std::string(text));
  const std::string_view trimmed = trim(text);
  if (trimmed.starts_with('[') || trimmed.starts_with('{')) return value_from_json(type, trimmed);
  if (type == ParamType::Array)
    return ParamValue::array(trimmed.empty() ? std::vector<std::string>{} : split(text, ','));
  std::map<std::string, std::string> fields;
  for (const std::string& pair : split(trimmed, ',')) {
    const size_t colon = pair.find(':');
    if (colon == std::string::npos) return std::nullopt;
    fields[std::string(trim(pair.substr(0, colon)))] = trim(pair.substr(colon + 1));
  }
  return ParamValue::object(std::move(fields));
}

void set_params(Variables& variables, const std::vector<Param>& params) {
  for (const Param& param : params) variables.set("params", param.name.value, param.value);
}

}  // namespace kiln::dag
