#include "executor/step_flow.h"

#include <algorithm>

#include "base/error.h"
#include "dag/resolve.h"
#include "dag/step_outputs.h"
#include "dag/substitution.h"

namespace kiln::executor {

struct StepFlow::Spec {
  dag::TaskSpec task;
  bool guided = false;
};

namespace {

bool needs_guide(const dag::Step& step) {
  return !step.when.empty() || dag::uses_step_outputs(step);
}

dag::StepOutputs outputs_of(const std::vector<steps::StepOutcome>& outcomes,
                            const std::vector<dag::Step>& steps) {
  dag::StepOutputs out;
  for (size_t i = 0; i < outcomes.size(); ++i) {
    const steps::StepOutcome& outcome = outcomes[i];
    if (!outcome.artifacts.empty()) out.provenance[outcome.name] = outcome.artifacts;
    for (const dag::ResultSpec& result : steps.at(i).results) {
      const auto bytes = outcome.results.find(result.name);
      if (bytes == outcome.results.end()) continue;
      if (auto value = dag::parse_result(result.type, bytes->second))
        out.results[outcome.name][result.name] = std::move(*value);
    }
  }
  return out;
}

std::vector<std::string> words(const std::vector<dag::Text>& texts) {
  return {texts.begin(), texts.end()};
}

// Only what a document wrote is put in; what came from a ConfigMap or Secret stays as it is.
void put_into_env(const std::vector<dag::EnvVar>& before, const std::vector<dag::EnvVar>& after,
                  steps::StepSpec& spec) {
  for (size_t i = 0; i < before.size(); ++i) {
    if (before[i].from != dag::EnvVar::From::Value || before[i].value.value == after[i].value.value) continue;
    const auto entry =
        std::ranges::find(spec.env, std::pair<std::string, std::string>(before[i].name, before[i].value));
    if (entry != spec.env.end()) entry->second = after[i].value;
  }
}

steps::StepTurn guide_step(const dag::TaskSpec& task, size_t index, steps::StepSpec& spec,
                           const std::vector<steps::StepOutcome>& before) {
  const dag::Step& written = task.steps.at(index);
  if (!needs_guide(written)) return {};
  dag::Step step = written;
  steps::StepTurn turn;
  for (const std::string& variable : dag::substitute_step_outputs(step, outputs_of(before, task.steps)))
    turn.notes.push_back(variable + " stays as it is: no step before this one left it");
  const dag::WhenVerdict verdict = dag::evaluate_when(step.when);
  if (!verdict.problem.empty()) throw Error(ErrorKind::Invalid, verdict.problem);
  turn.run = verdict.holds;
  spec.command = words(step.command);
  spec.args = words(step.args);
  spec.script = step.script;
  put_into_env(written.env, step.env, spec);
  return turn;
}

}  // namespace

StepFlow::StepFlow(const dag::TaskSpec& spec) {
  const bool guided = std::ranges::any_of(spec.steps, needs_guide);
  const bool takes =
      std::ranges::any_of(spec.results, [](const auto& result) { return result.value.has_value(); });
  if (guided || takes) spec_ = std::make_shared<const Spec>(Spec{spec, guided});
}

steps::StepGuide StepFlow::guide() const {
  if (!spec_ || !spec_->guided) return {};
  return [spec = spec_](size_t index, steps::StepSpec& step, const std::vector<steps::StepOutcome>& before) {
    return guide_step(spec->task, index, step, before);
  };
}

void StepFlow::finish(steps::PodOutcome& outcome) const {
  if (!spec_) return;
  for (const auto& [name, value] :
       dag::results_from_steps(spec_->task, outputs_of(outcome.steps, spec_->task.steps)))
    outcome.results[name] = dag::to_text(value);
}

}  // namespace kiln::executor
