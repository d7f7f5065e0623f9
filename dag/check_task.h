#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/diagnostic.h"
#include "dag/documents.h"
#include "dag/substitution.h"
#include "dag/texts.h"

namespace kiln::dag {

// What a check knows about a param: enough to say whether a use of it can be right.
struct KnownParam {
  ParamType type = ParamType::String;
  std::vector<std::string> keys;  // of an object
  bool any_key = false;           // an object whose keys are not declared
};
using ParamScope = std::map<std::string, KnownParam, std::less<>>;

void declare(ParamScope& scope, const std::vector<ParamSpec>& specs);

// Collects Diagnostics about one file's texts.
class Reporter {
 public:
  Reporter(const Documents& documents, std::string file, Diagnostics& diagnostics)
      : documents_(documents), file_(std::move(file)), diagnostics_(diagnostics) {}

  void report(Severity severity, Position at, std::string message, std::string hint = {}) {
    diagnostics_.push_back({severity, file_, at, std::move(message), std::move(hint)});
  }
  void error(Position at, std::string message, std::string hint = {}) {
    report(Severity::Error, at, std::move(message), std::move(hint));
  }
  void warn(Position at, std::string message, std::string hint = {}) {
    report(Severity::Warning, at, std::move(message), std::move(hint));
  }
  // Where `needle` stands in the text that starts at `from`.
  Position find(Position from, std::string_view needle) const;

  // Checks every `$(params.…)` of a text against `scope`. Other prefixes are not looked at.
  void check_params(std::string_view text, Position at, const ParamScope& scope, ArrayUse arrays,
                    Severity severity = Severity::Error);

 private:
  const Documents& documents_;
  std::string file_;
  Diagnostics& diagnostics_;
};

// The rules of tekton.dev/v1 for a TaskSpec. `scope` holds what may be used as `$(params.…)`: the task's own
// params and, for an inline spec, what propagates into it.
// An inline spec may also use the pipeline's workspaces.
void check_task_spec(const TaskSpec& spec, const ParamScope& scope, bool inline_spec, Reporter& reporter);
// Its parts. A step may take its image from stepTemplate.
void check_step(const Step& step, bool image_from_template, Reporter& reporter);
void check_sidecar(const Sidecar& sidecar, Reporter& reporter);
// "one of: a, b": the values that `enum` allows.
std::string choice_of(const ParamSpec& spec);
void check_param_specs(const std::vector<ParamSpec>& specs, Reporter& reporter);
void check_defaults(const std::vector<ParamSpec>& specs, const ParamScope& scope, Reporter& reporter);
void check_result_specs(const std::vector<ResultSpec>& results, Reporter& reporter);
// And for what a StepAction says; `params` are its own.
void check_step_action(const StepAction& action, Reporter& reporter);
// Syntax and types of `cel`, if there is one.
void check_cel(const When& when, Reporter& reporter);
// What a step passes to the StepAction it refers to.
void check_action_params(const Step& step, const StepAction& action, Reporter& reporter);

// Warns of what looks like a variable and is none: ${params.x}, $(param.x), $(params.x, $(workspaces.w).
void check_slips(std::string_view text, Position at, const ParamScope& scope, Reporter& reporter);

// "1h30m", "0"; reports a malformed one and returns `fallback` then, and for an empty text.
Duration check_duration(const Text& text, Duration fallback, Reporter& reporter);

// "did you mean `x`?", or "".
std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates);
// The same, or what there is to choose from: "the pipeline has: a, b"; or "" when there is nothing.
std::string choices(std::string_view word, const std::vector<std::string>& candidates,
                    std::string_view owner);
// For a wrong `onError`.
std::string on_error_hint(std::string_view word);

}  // namespace kiln::dag
