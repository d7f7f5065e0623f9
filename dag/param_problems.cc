#include "dag/param_problems.h"

#include <algorithm>
#include <set>

#include "base/text.h"
#include "dag/texts.h"

namespace kiln::dag {

std::string enum_problem(const ParamSpec& spec, std::string_view value) {
  if (spec.enumeration.empty() || value.empty()) return {};
  if (std::ranges::find(spec.enumeration, value, &Text::value) != spec.enumeration.end()) return {};
  return "param `" + spec.name.value + "` value: " + std::string(value) + " is not in the enum list";
}

std::vector<std::string> missing_keys(const ParamSpec& spec, const ParamValue& value) {
  std::vector<std::string> out;
  if (spec.type != ParamType::Object || value.type != ParamType::Object) return out;
  for (const std::string& key : spec.properties)
    if (!value.fields.contains(key) && !(spec.default_value && spec.default_value->fields.contains(key)))
      out.push_back(key);
  return out;
}

std::string missing_keys_problem(const ParamSpec& spec, const std::vector<std::string>& keys) {
  return "missing keys for these params which are required in ParamSpec's properties map[" + spec.name.value +
         ":[" + join(keys, " ") + "]]";
}

void note_length(ArrayLengths& lengths, const std::string& name, const ParamValue& value) {
  lengths.erase(name);  // a nearer one may hide it
  if (value.type != ParamType::Array) return;
  const auto open = [](const std::string& item) { return item.find("$(tasks.") != std::string::npos; };
  if (std::ranges::none_of(value.items, open)) lengths[name] = value.items.size();
}

void for_each_past_end(std::string_view text, const ArrayLengths& lengths,
                       const std::function<void(std::string_view, size_t)>& visit) {
  if (lengths.empty() || !may_have_variables(text)) return;
  for (const Variable& variable : find_variables(text)) {
    const Reference& reference = variable.reference;
    if (reference.path[0] != "params" || reference.path.size() != 2 ||
        reference.suffix != Reference::Suffix::Index)
      continue;
    const auto known = lengths.find(reference.path[1]);
    if (known != lengths.end() && reference.index >= known->second)
      visit(text.substr(variable.begin, variable.end - variable.begin), known->second);
  }
}

void for_each_past_end(const TaskSpec& spec, const ArrayLengths& lengths,
                       const std::function<void(std::string_view, Position, size_t)>& visit) {
  if (lengths.empty()) return;
  const auto look = [&](std::string_view text, Position at, ArrayUse) {
    for_each_past_end(text, lengths,
                      [&](std::string_view written, size_t length) { visit(written, at, length); });
  };
  for_each_text(spec, look);
  for (const WorkspaceDeclaration& workspace : spec.workspaces)
    look(workspace.mount_path.value, workspace.mount_path.at, ArrayUse::Never);
}

std::string past_end_problem(const std::vector<std::string>& references) {
  return "non-existent param references:[" + join(references, " ") + "]";
}

ParamProblem param_problem(std::string_view task_name, const std::vector<ParamSpec>& specs,
                           const std::vector<Param>& params, const TaskSpec* spec,
                           const ArrayLengths& lengths) {
  std::unordered_map<std::string_view, const Param*> by_name;
  for (const Param& param : params) by_name.emplace(param.name.value, &param);
  const auto value_of = [&](const ParamSpec& one) {
    const auto found = by_name.find(one.name.value);
    return found == by_name.end() ? nullptr : found->second;
  };
  for (const ParamSpec& one : specs)
    if (const Param* param = value_of(one))
      if (const auto missing = missing_keys(one, param->value); !missing.empty())
        return {"TaskRunValidationFailed", "invalid input params for task " + std::string(task_name) + ": " +
                                               missing_keys_problem(one, missing)};
  for (const ParamSpec& one : specs)
    if (const Param* param = value_of(one); param != nullptr && !param->is_default)
      if (std::string problem = enum_problem(one, param->value.text); !problem.empty())
        return {"InvalidParamValue", std::move(problem)};
  if (spec == nullptr) return {};
  std::set<std::string> past_end;
  for_each_past_end(*spec, lengths,
                    [&](std::string_view written, Position, size_t) { past_end.emplace(written); });
  if (past_end.empty()) return {};
  return {"TaskRunValidationFailed", past_end_problem({past_end.begin(), past_end.end()})};
}

}  // namespace kiln::dag
