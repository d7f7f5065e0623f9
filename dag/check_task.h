#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/diagnostic.h"
#include "dag/documents.h"
#include "dag/substitution.h"

namespace kiln::dag {

// What a check knows about a param: enough to say whether a use of it can be right.
struct KnownParam {
  ParamType type = ParamType::String;
  std::vector<std::string> keys;  // of an object
  bool any_key = false;           // an object whose keys are not declared
};
using ParamScope = std::map<std::string, KnownParam, std::less<>>;

void declare(ParamScope& scope, const std::vector<ParamSpec>& specs);

// How a text may use an array: nowhere inside it, standing alone in a list, or also as a whole value.
enum class ArrayUse { Never, Alone, Whole };

// Collects Diagnostics about one file's texts.
class Reporter {
 public:
  Reporter(const Documents& documents, std::string file, Diagnostics& diagnostics)
      : documents_(documents), file_(std::move(file)), diagnostics_(diagnostics) {}

  void error(Position at, std::string message, std::string hint = {}) {
    diagnostics_.push_back({Severity::Error, file_, at, std::move(message), std::move(hint)});
  }
  void warn(Position at, std::string message, std::string hint = {}) {
    diagnostics_.push_back({Severity::Warning, file_, at, std::move(message), std::move(hint)});
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

// Every text of a step that may hold variables, with how it may use arrays.
void for_each_text(const Step& step, const std::function<void(std::string_view, Position, ArrayUse)>& visit);
// And of a whole task: template, steps, and task results taken from step results.
void for_each_text(const TaskSpec& spec,
                   const std::function<void(std::string_view, Position, ArrayUse)>& visit);
// The strings of a param value.
void for_each_text(const Param& param,
                   const std::function<void(std::string_view, Position, ArrayUse)>& visit);

// The rules of tekton.dev/v1 for a TaskSpec. `scope` holds what may be used as `$(params.…)`: the task's own
// params and, for an inline spec, what propagates into it.
void check_task_spec(const TaskSpec& spec, const ParamScope& scope, const Documents& documents,
                     Reporter& reporter);

// What is valid Tekton, and this version of Kiln cannot run yet.
void refuse_unsupported(const TaskSpec& spec, Reporter& reporter);

// The spec with every step `ref` bound to its StepAction; the same spec when there is none.
std::shared_ptr<const TaskSpec> bind_step_actions(std::shared_ptr<const TaskSpec> spec,
                                                  const Documents& documents);

// "1h30m", "0"; reports a malformed one and returns `fallback` then, and for an empty text.
Duration check_duration(const Text& text, Duration fallback, Reporter& reporter);

// "did you mean `x`?", or "".
std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace kiln::dag
