#include <algorithm>
#include <ranges>
#include <span>

#include "base/text.h"
#include "dag/check_task.h"

namespace kiln::dag {

std::optional<std::string> near_name(std::string_view word, const std::vector<std::string>& candidates) {
  if (word.size() < 3) return std::nullopt;  // every short name is near every other
  return nearest(word, candidates);
}

std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates) {
  const auto near = near_name(word, candidates);
  return near ? "did you mean `" + *near + "`?" : "";
}

std::map<std::string, std::string> Reporter::slips(const std::vector<std::string>& unknown,
                                                   const std::vector<std::string>& missing) const {
  std::map<std::string, std::string> out;
  if (missing.empty() || !may_suggest(unknown.size() * missing.size())) return out;
  for (const std::string& name : unknown)
    if (auto near = near_name(name, missing)) out.emplace(std::move(*near), name);
  return out;
}

std::string Reporter::shown_choices(std::vector<std::string> names, std::string_view owner) {
  if (names.empty()) return "";
  const bool more = names.size() > kMostChoices;
  if (more) names.pop_back();
  return std::string(owner) + " has: " + join(names, ", ") + (more ? ", …" : "");
}

std::string on_error_hint(std::string_view word) {
  const std::string near = did_you_mean(word, {"continue", "stopAndFail"});
  return near.empty() ? "`continue` goes on after a failure, `stopAndFail` is what happens without it" : near;
}

std::string list_of(const std::vector<std::string>& words, std::string_view separator, size_t most) {
  if (words.size() <= most) return join(words, separator);
  return join(std::span(words).first(most), separator) + std::string(separator) + "… and " +
         std::to_string(words.size() - most) + " more";
}

void ParamScope::declare(const std::vector<ParamSpec>& specs) {
  for (const ParamSpec& spec : specs) {
    KnownParam known{spec.type, {spec.properties.begin(), spec.properties.end()}, false};
    if (spec.default_value)
      for (const auto& [key, text] : spec.default_value->fields) known.keys.insert(key);
    set(spec.name.value, std::move(known));
  }
}

const KnownParam* ParamScope::find(std::string_view name) const {
  for (const ParamScope* scope = this; scope != nullptr; scope = scope->outer_)
    if (const auto known = scope->own_.find(name); known != scope->own_.end()) return &known->second;
  return nullptr;
}

std::vector<std::string> ParamScope::names() const {
  std::set<std::string> names;
  for (const ParamScope* scope = this; scope != nullptr; scope = scope->outer_)
    for (const auto& [name, known] : scope->own_) names.insert(name);
  return {names.begin(), names.end()};
}

bool Reporter::misread(Position at) const {
  constexpr size_t kMostLooked = 100;
  return std::ranges::any_of(diagnostics_ | std::views::take(kMostLooked), [&](const Diagnostic& one) {
    return one.severity == Severity::Error && one.at.line == at.line && one.at.column == at.column &&
           one.file == file_;
  });
}

Position Reporter::find(Position from, std::string_view variable) const {
  const auto places = documents_.places.find(file_);
  return places == documents_.places.end() ? from : places->second.find(from, variable);
}

Position Reporter::find_text(Position from, std::string_view text) const {
  const auto places = documents_.places.find(file_);
  return places == documents_.places.end() ? from : places->second.find_text(from, text);
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
    const KnownParam* known = scope.find(reference.path[1]);
    if (known == nullptr && reference.path.size() > 2) {  // a dotted name, written without brackets
      std::string dotted = reference.path[1];
      for (size_t i = 2; i < reference.path.size(); ++i) dotted += "." + reference.path[i];
      if (scope.contains(dotted)) {
        complain("non-existent variable in \"" + written + "\"",
                 "names with dots need brackets: $(params['" + dotted + "'])");
        continue;
      }
    }
    if (known == nullptr) {
      const std::string near = suggest(reference.path[1], scope);
      complain("non-existent variable in \"" + written + "\"",
               near.empty() ? "declare `" + reference.path[1] + "` under `params`" : near);
      continue;
    }
    if (reference.path.size() > 3) {
      complain(
          "Invalid referencing of parameters in \"" + std::string(text.substr(0, 200)) +
              "\"! Only two dot-separated components after the prefix \"params\" are allowed.",
          "names with dots need brackets: $(params['" + reference.path[1] + "." + reference.path[2] + "'])");
      continue;
    }
    const bool alone = variable.begin == 0 && variable.end == text.size();
    switch (known->type) {
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
                         (known->keys.empty() ? "KEY" : *known->keys.begin()) + ")");
        } else if (!known->any_key && !known->keys.contains(reference.path[2])) {
          complain("non-existent variable in \"" + written + "\"",
                   choices(reference.path[2], known->keys, "`" + reference.path[1] + "`"));
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
