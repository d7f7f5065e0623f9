#pragma once

#include <functional>
#include <map>
#include <ranges>
#include <set>
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
  std::set<std::string, std::less<>> keys;  // of an object
  bool any_key = false;                     // an object whose keys are not declared
};

// The params that may be used in a place: its own, then those around it. Refers to the scope around it, so
// that a thousand tasks in a pipeline with a thousand params do not make a million of them.
class ParamScope {
 public:
  explicit ParamScope(const ParamScope* outer = nullptr) : outer_(outer) {}
  void declare(const std::vector<ParamSpec>& specs);
  void set(const std::string& name, KnownParam known) { own_[name] = std::move(known); }
  const KnownParam* find(std::string_view name) const;
  bool contains(std::string_view name) const { return find(name) != nullptr; }
  size_t size() const { return own_.size() + (outer_ == nullptr ? 0 : outer_->size()); }
  std::vector<std::string> names() const;

 private:
  const ParamScope* outer_;
  std::map<std::string, KnownParam, std::less<>> own_;
};

// "did you mean `x`?", or "".
std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates);
// The name in did_you_mean(), if there is one.
std::optional<std::string> near_name(std::string_view word, const std::vector<std::string>& candidates);

// The words, or the first hundred of them and how many there are besides: for messages.
std::string list_of(const std::vector<std::string>& words, std::string_view separator, size_t most = 100);

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
  // Whether a mistake was found there when the document was read: what was read there is then none of the
  // user's. Those come first, so that a look at the first is enough.
  bool misread(Position at) const;
  // Where `variable` stands in the text that starts at `from`.
  Position find(Position from, std::string_view variable) const;
  // Where `text` begins, that of the scalar at `from`.
  Position find_text(Position from, std::string_view text) const;

  // Whether so many names may be looked through for one more mistake.
  bool may_suggest(size_t names) const {
    constexpr size_t kMostComparisons = 500'000;
    return names <= kMostComparisons / (diagnostics_.size() + 1);
  }

  // did_you_mean() among the names of many things: `name` makes one's of each. The more mistakes there are
  // already, the fewer names are looked through: a file of nothing but mistakes is reported in linear time.
  template <std::ranges::sized_range R, class Name = std::identity>
  std::string suggest(std::string_view word, const R& among, Name name = {}) const {
    if (!may_suggest(std::ranges::size(among))) return "";
    std::vector<std::string> candidates;
    for (const auto& one : among) candidates.emplace_back(std::invoke(name, one));
    return did_you_mean(word, candidates);
  }
  // Names that were given and that nothing has (`unknown`), by the one of `missing` that each is nearly: what
  // is missing and what is too much are then one slip. Of several for one missing name the first counts.
  std::map<std::string, std::string> slips(const std::vector<std::string>& unknown,
                                           const std::vector<std::string>& missing) const;

  std::string suggest(std::string_view word, const ParamScope& scope) const {
    return may_suggest(scope.size()) ? did_you_mean(word, scope.names()) : "";
  }

  // suggest(), or what there is to choose from: "the pipeline has: a, b"; or "" when there is nothing.
  template <std::ranges::sized_range R, class Name = std::identity>
  std::string choices(std::string_view word, const R& among, std::string_view owner, Name name = {}) const {
    std::string near = suggest(word, among, name);
    if (!near.empty()) return near;
    std::vector<std::string> shown;
    for (const auto& one : among) {
      std::string candidate(std::invoke(name, one));
      if (candidate.empty() || std::ranges::find(shown, candidate) != shown.end()) continue;
      shown.push_back(std::move(candidate));
      if (shown.size() > kMostChoices) break;
    }
    return shown_choices(std::move(shown), owner);
  }

  // Checks every `$(params.…)` of a text against `scope`. Other prefixes are not looked at.
  void check_params(std::string_view text, Position at, const ParamScope& scope, ArrayUse arrays,
                    Severity severity = Severity::Error);

 private:
  static constexpr size_t kMostChoices = 8;
  static std::string shown_choices(std::vector<std::string> names, std::string_view owner);

  const Documents& documents_;
  std::string file_;
  Diagnostics& diagnostics_;
};

// The rules of tekton.dev/v1 for a TaskSpec. `scope` holds what may be used as `$(params.…)`: the task's own
// params and, for an inline spec, what propagates into it.
// An inline spec may also use the pipeline's workspaces.
void check_task_spec(const TaskSpec& spec, const ParamScope& scope, bool inline_spec, Reporter& reporter);
// Its parts. A step is run over the stepTemplate, if there is one (`base`).
void check_image(const Text& image, Reporter& reporter);  // of a step or sidecar; empty is another mistake
void check_step(const Step& step, const Step* base, Reporter& reporter);
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

// For a wrong `onError`.
std::string on_error_hint(std::string_view word);

}  // namespace kiln::dag
