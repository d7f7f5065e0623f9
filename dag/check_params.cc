#include <algorithm>
#include <set>

#include "base/text.h"
#include "dag/check_task.h"

namespace kiln::dag {
namespace {

// Letters, digits, "-", "_" and, where `dots`, "."; a letter or "_" first.
bool is_param_name(std::string_view name, bool dots) {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  return !name.empty() && letter(name.front()) && std::ranges::all_of(name, [&](char c) {
    return letter(c) || (c >= '0' && c <= '9') || c == '-' || (dots && c == '.');
  });
}

bool is_result_name(std::string_view name) {
  const auto alphanumeric = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  return !name.empty() && name.size() <= 253 && alphanumeric(name.front()) && alphanumeric(name.back()) &&
         std::ranges::all_of(name,
                             [&](char c) { return alphanumeric(c) || c == '-' || c == '_' || c == '.'; });
}

// How a default would be written to be of the declared type.
std::string default_hint(const ParamSpec& spec) {
  const ParamValue& value = *spec.default_value;
  if (spec.type == ParamType::Array && value.type == ParamType::String)
    return "write a list: default: [\"" + value.text.substr(0, 60) + "\"]";
  if (spec.type == ParamType::Object) return "write a mapping: default: {KEY: …}";
  return "make it a string, or change the type: type: " + std::string(to_string(value.type));
}

void check_name(const ParamSpec& spec, Reporter& reporter) {
  const bool object = spec.type == ParamType::Object;
  if (!is_param_name(spec.name.value, !object))
    reporter.error(spec.name.at,
                   object ? "Object param name and key name format is invalid: " + spec.name.value
                          : "The format of following array and string variable names is invalid: [" +
                                spec.name.value + "]",
                   object ? "letters, digits, `-` and `_`, with a letter or `_` first"
                          : "letters, digits, `-`, `_` and `.`, with a letter or `_` first");
  if (!object) return;
  for (const std::string& key : spec.properties)
    if (!is_param_name(key, false))
      reporter.error(reporter.find_text(spec.name.at, key),
                     "Object param name and key name format is invalid: " + spec.name.value + ", key " + key,
                     "letters, digits, `-` and `_`, with a letter or `_` first");
}

void check_enum(const ParamSpec& spec, Reporter& reporter) {
  if (spec.enumeration.empty()) return;
  if (spec.type != ParamType::String) {
    reporter.error(spec.enumeration.front().at,
                   "enum can only be set with string type param: \"" + spec.name.value + "\"",
                   "leave `enum` out, or make it `type: string`");
    return;
  }
  std::set<std::string_view> seen;
  for (const Text& value : spec.enumeration)
    if (!seen.insert(value.value).second)
      reporter.error(
          value.at,
          "parameter enum value " + value.value + " appears more than once: \"" + spec.name.value + "\"",
          "list it once");
  if (spec.default_value && !may_have_variables(spec.default_value->text) &&
      !seen.contains(spec.default_value->text))
    reporter.error(spec.default_at,
                   "param default value " + spec.default_value->text + " not in the enum list: \"" +
                       spec.name.value + "\"",
                   choice_of(spec));
}

}  // namespace

std::string choice_of(const ParamSpec& spec) {
  std::vector<std::string> words;
  for (const Text& value : spec.enumeration) words.push_back(value);
  return "one of: " + join(words, ", ");
}

void check_param_specs(const std::vector<ParamSpec>& specs, Reporter& reporter) {
  for (const ParamSpec& spec : specs) {
    check_name(spec, reporter);
    check_enum(spec, reporter);
    if (spec.type == ParamType::Object && spec.properties.empty() && !spec.default_value)
      reporter.error(spec.name.at, "missing field(s): " + spec.name.value + ".properties",
                     "say which keys it has: properties: {KEY: {type: string}}");
    if (spec.default_value && spec.default_value->type != spec.type)
      reporter.error(
          spec.default_at,
          "\"" + std::string(to_string(spec.type)) + "\" type does not match default value's type: \"" +
              std::string(to_string(spec.default_value->type)) + "\": param `" + spec.name.value + "`",
          default_hint(spec));
  }
}

void check_defaults(const std::vector<ParamSpec>& specs, const ParamScope& scope, Reporter& reporter) {
  for (const ParamSpec& spec : specs)
    if (spec.default_value)
      for_each_text(*spec.default_value, spec.default_at, [&](std::string_view text, Position at, ArrayUse) {
        // Tekton takes such a default and leaves it as it is.
        reporter.check_params(text, at, scope, ArrayUse::Whole, Severity::Warning);
      });
}

void check_result_specs(const std::vector<ResultSpec>& results, Reporter& reporter) {
  for (const ResultSpec& result : results) {
    if (!is_result_name(result.name.value))
      reporter.error(result.name.at, "invalid key name \"" + result.name.value + "\"",
                     "letters, digits, `-`, `_` and `.`, with a letter or digit at both ends");
    if (result.type == ParamType::Object && result.properties.empty())
      reporter.error(result.name.at, "missing field(s): " + result.name.value + ".properties",
                     "say which keys it has: properties: {KEY: {type: string}}");
  }
}

}  // namespace kiln::dag
