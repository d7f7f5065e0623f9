#pragma once

#include <map>
#include <string>
#include <vector>

#include "dag/model.h"

namespace kiln::dag {

// What steps have left for those after them, by step.
struct StepOutputs {
  std::map<std::string, std::map<std::string, ParamValue>> results;
  std::map<std::string, std::string> provenance;  // the text of its provenance.json
};

// Puts into a step what it could not know before it starts: into command, args, env and `when`, artifacts
// also into the script. A container expands `$(NAME)` in the first three once more, so there every `$` of a
// value is doubled. Returns the variables that nothing was left for; they stay as they are.
std::vector<std::string> substitute_step_outputs(Step& step, const StepOutputs& outputs);

// Whether that would change anything.
bool uses_step_outputs(const Step& step);

// The task's results that are taken from its steps' (`value: $(steps.s.results.r)`), as far as they were
// left.
std::map<std::string, ParamValue> results_from_steps(const TaskSpec& task, const StepOutputs& outputs);

}  // namespace kiln::dag
