#include <algorithm>

#include "base/text.h"
#include "dag/check_task.h"

namespace kiln::dag {
namespace {

std::vector<std::string> names_of(const ParamScope& scope) {
  std::vector<std::string> names;
  for (const auto& [name, known] : scope) names.push_back(name);
  return names;
}

}  // namespace

std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates) {
  if (word.size() < 3) return "";  // every short name is near every other
  const auto near = nearest(word, candidates);
  return near ? "did you mean `" + *near + "`?" : "";
}

std::string choices(std::string_view word, const std::vector<std::string>& candidates,
                    std::string_view owner) {
  std::string near = did_you_mean(word, candidates);
  if (!near.empty()) return near;
  constexpr size_t kShown = 8;
  std::vector<std::string> shown;
  for (const std::string& candidate : candidates) {
    if (candidate.empty() || std::ranges::find(shown, candidate) != shown.end()) continue;
    shown.push_back(candidate);
    if (shown.size() > kShown) break;
  }
  if (shown.empty()) return "";
  const bool more = shown.size() > kShown;
  if (more) shown.pop_back();
  return std::string(owner) + " has: " + join(shown, ", ") + (more ? ", …" : "");
}

std::string on_error_hint(std::string_view word) {
  const std::string near = did_you_mean(word, {"continue", "stopAndFail"});
  return near.empty() ? "`continue` goes on after a failure, `stopAndFail` is what happens without it" : near;
}

void declare(ParamScope& scope, const std::vector<ParamSpec>& specs) {
  for (const ParamSpec& spec : specs) {
    KnownParam known{spec.type, spec.properties, false};
    if (spec.default_value)
      for (const auto& [key, text] : spec.default_value->fields) known.keys.push_back(key);
    scope[spec.name.value] = std::move(known);
  }
}

Position Reporter::find(Position from, std::string_view needle) const {
  const auto source = documents_.sources.find(file_);
  return source == documents_.sources.end() ? from : locate(source->second, from, needle);
}

void Reporter::check_params(std::string_view text, Position at, const ParamScope& scope, ArrayUse arrays,
                            Severity severity) {
  if (!may_have_variables(text)) return;
  for (const Variable& variable : find_variables(text)) {
    const Reference& reference = variable.reference;
    if (reference.path[0] != "params") continue;
    const std::string written(text.substr(variable.begin, variable.end - variable.begin));
    const auto complain = [&](std::string message, std::string hint = {}) {
      diagnostics_.push_back({severity, file_, find(at, written), std::move(message), std::move(hint)});
    };
    auto known = scope.find(reference.path[1]);
    if (known == scope.end() && reference.path.size() > 2) {  // a dotted name, written without brackets
      std::string dotted = reference.path[1];
      for (size_t i = 2; i < reference.path.size(); ++i) dotted += "." + reference.path[i];
      if (scope.contains(dotted)) {
        complain("non-existent variable in \"" + written + "\"",
                 "names with dots need brackets: $(params['" + dotted + "'])");
        continue;
      }
    }
    if (known == scope.end()) {
      const std::string near = did_you_mean(reference.path[1], names_of(scope));
      complain("non-existent variable in \"" + written + "\"",
               near.empty() ? "declare `" + reference.path[1] + "` under `params`" : near);
      continue;
    }
    if (reference.path.size() > 3) {
      complain("Invalid referencing of parameters in \"" + std::string(text.substr(0, 200)) +
                   "\"! Only two dot-separated components after the prefix \"params\" are allowed.",
               "names with dots need brackets: $(params['" + reference.path[1] + "." + reference.path[2] +
                   "'])");
      continue;
    }
    const bool alone = variable.begin == 0 && variable.end == text.size();
    switch (known->second.type) {
      case ParamType::String:
        if (reference.path.size() > 2)
          complain("non-existent variable in \"" + written + "\"",
                   "`" + reference.path[1] + "` is a string, it has no keys");
        break;
      case ParamType::Array:
        if (reference.suffix == Reference::Suffix::Index) break;
        if (reference.path.size() > 2)
          complain("non-existent variable in \"" + written + "\"",
                   "`" + reference.path[1] + "` is an array: $(params." + reference.path[1] +
                       "[0]), or [*] for all of it");
        else if (arrays == ArrayUse::Never)
          complain("variable type invalid in \"" + written + "\": an array cannot be put into a string",
                   "use one item: $(params." + reference.path[1] +
                       "[0]); the whole list can stand alone in `args`: \"$(params." + reference.path[1] +
                       "[*])\"");
        else if (!alone)
          complain("variable is not properly isolated in \"" + std::string(text.substr(0, 200)) + "\"",
                   std::string(arrays == ArrayUse::Whole ? "let it be the whole value"
                                                         : "make it an item of its own") +
                       ": \"$(params." + reference.path[1] + "[*])\"");
        break;
      case ParamType::Object:
        if (reference.path.size() == 2) {
          if (arrays != ArrayUse::Whole || !alone)
            complain("variable type invalid in \"" + written + "\": an object cannot be put into a string",
                     "use one of its keys: $(params." + reference.path[1] + "." +
                         (known->second.keys.empty() ? "KEY" : known->second.keys.front()) + ")");
        } else if (!known->second.any_key &&
                   std::ranges::find(known->second.keys, reference.path[2]) == known->second.keys.end()) {
          complain("non-existent variable in \"" + written + "\"",
                   choices(reference.path[2], known->second.keys, "`" + reference.path[1] + "`"));
        }
        break;
    }
  }
}

Duration check_duration(const Text& text, Duration fallback, Reporter& reporter) {
  if (text.empty() || may_have_variables(text.value)) return fallback;
  const auto duration = parse_duration(text.value);
  if (duration && *duration >= Duration{}) return *duration;
  if (duration)
    reporter.error(text.at, "invalid value: " + text.value + " should be >= 0", "0 is for no timeout");
  else if (text.value.find_first_not_of("0123456789") == std::string::npos && text.value.size() < 10)
    reporter.error(text.at, "invalid duration \"" + text.value + "\": the unit is missing",
                   "write " + text.value + "s, " + text.value + "m or " + text.value + "h");
  else
    reporter.error(text.at, "invalid duration \"" + text.value + "\"",
                   "write it like 1h30m, 90s, or 0 for none");
  return fallback;
}

}  // namespace kiln::dag
