#include "dag/step_outputs.h"

#include <algorithm>

#include "base/text.h"
#include "dag/artifacts.h"
#include "dag/substitution.h"
#include "dag/texts.h"

namespace kiln::dag {
namespace {

using Path = std::vector<std::string>;

bool is_result(const Path& path) {
  return path.size() >= 4 && path[0] == "steps" && path[2] == "results";
}

bool is_artifact(const Path& path) {
  return (path.size() == 3 || path.size() == 4) && path[0] == "steps" &&
         (path[2] == "outputs" || path[2] == "inputs");
}

void double_dollars(ParamValue& value) {
  const auto escape = [](std::string& text) { text = replace_all(text, "$", "$$"); };
  escape(value.text);
  std::ranges::for_each(value.items, escape);
  for (auto& [key, text] : value.fields) escape(text);
}

// The values of the variables in the texts that it is shown.
class Found {
 public:
  Found(const StepOutputs& outputs, bool escaped) : outputs_(outputs), escaped_(escaped) {}

  void look(std::string_view text, bool results = true) {
    if (!may_have_variables(text)) return;
    for (const Variable& variable : find_variables(text)) {
      const Path& path = variable.reference.path;
      if (is_artifact(path))
        add_artifact(path);
      else if (results && is_result(path))
        add_result(path);
      else
        continue;
      if (!variables_.find(variable.reference))
        missing_.emplace_back(text.substr(variable.begin, variable.end - variable.begin));
    }
  }
  void look(const std::vector<Text>& list) {
    for (const Text& text : list) look(text.value);
  }
  const Variables& variables() const { return variables_; }
  void report(std::vector<std::string>& missing) const {
    missing.insert(missing.end(), missing_.begin(), missing_.end());
  }

 private:
  void set(const Path& path, ParamValue value) {
    if (escaped_) double_dollars(value);
    variables_.set(path, std::move(value));
  }
  void add_result(const Path& path) {
    const auto step = outputs_.results.find(path[1]);
    if (step == outputs_.results.end()) return;
    if (const auto result = step->second.find(path[3]); result != step->second.end())
      set({path[0], path[1], path[2], path[3]}, result->second);
  }
  void add_artifact(const Path& path) {
    const auto step = outputs_.provenance.find(path[1]);
    if (step == outputs_.provenance.end()) return;
    if (auto values = artifact_values(step->second, path[2], path.size() == 4 ? path[3] : ""))
      set(path, ParamValue::string(std::move(*values)));
  }

  const StepOutputs& outputs_;
  const bool escaped_;
  Variables variables_;
  std::vector<std::string> missing_;
};

}  // namespace

std::vector<std::string> substitute_step_outputs(Step& step, const StepOutputs& outputs) {
  Found words(outputs, true), script(outputs, false), whens(outputs, false);
  words.look(step.command);
  words.look(step.args);
  for (const EnvVar& variable : step.env) words.look(variable.value.value);
  script.look(step.script.value, false);
  for (const When& when : step.when)
    for_each_text(when, [&](std::string_view text, Position, ArrayUse) { whens.look(text); });

  step.command = substitute_list(step.command, words.variables());
  step.args = substitute_list(step.args, words.variables());
  for (EnvVar& variable : step.env)
    variable.value.value = substitute(variable.value.value, words.variables());
  step.script.value = substitute(step.script.value, script.variables());
  for (When& when : step.when) substitute_when(when, whens.variables());

  std::vector<std::string> missing;
  for (const Found* found : {&words, &script, &whens}) found->report(missing);
  std::ranges::sort(missing);
  missing.erase(std::unique(missing.begin(), missing.end()), missing.end());
  return missing;
}

bool uses_step_outputs(const Step& step) {
  bool uses = false;
  for_each_text(step, [&](std::string_view text, Position, ArrayUse) {
    uses = uses || text.find("$(steps.") != std::string_view::npos ||
           text.find("$(steps[") != std::string_view::npos;
  });
  return uses;
}

std::map<std::string, ParamValue> results_from_steps(const TaskSpec& task, const StepOutputs& outputs) {
  std::map<std::string, ParamValue> out;
  for (const ResultSpec& result : task.results) {
    if (!result.value) continue;
    Found found(outputs, false);
    for_each_text(*result.value, {}, [&](std::string_view text, Position, ArrayUse) { found.look(text); });
    std::vector<std::string> missing;
    found.report(missing);
    if (missing.empty()) out.emplace(result.name, substitute_value(*result.value, found.variables()));
  }
  return out;
}

}  // namespace kiln::dag
