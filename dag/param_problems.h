#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "dag/model.h"
#include "dag/substitution.h"

// What can be wrong with the values of params, in Tekton's words: for those known when the plan is made, and
// for those that a TaskRun gets only when it starts.
namespace kiln::dag {

// A value that `enum` does not allow; "" when there is nothing wrong. An empty string stands for no value.
std::string enum_problem(const ParamSpec& spec, std::string_view value);

// The keys that an object's properties ask for, and that neither the value nor the default has.
std::vector<std::string> missing_keys(const ParamSpec& spec, const ParamValue& value);
std::string missing_keys_problem(const ParamSpec& spec, const std::vector<std::string>& keys);

// How many items params have, by name: of those arrays that are known whole.
using ArrayLengths = std::unordered_map<std::string, size_t>;
void note_length(ArrayLengths& lengths, const std::string& name, const ParamValue& value);

// Calls visit("$(params.q[3])", length of q) for each index past the end.
void for_each_past_end(std::string_view text, const ArrayLengths& lengths,
                       const std::function<void(std::string_view, size_t)>& visit);
// The same of all that a TaskSpec says, with the position of each text.
void for_each_past_end(const TaskSpec& spec, const ArrayLengths& lengths,
                       const std::function<void(std::string_view, Position, size_t)>& visit);
std::string past_end_problem(const std::vector<std::string>& references);

// Why a TaskRun with these params cannot run. An empty reason: it can.
struct ParamProblem {
  std::string reason;  // TaskRunValidationFailed, InvalidParamValue
  std::string message;
};
// `params` as evaluate_params() makes them, `lengths` of those and of what propagates; `spec` before anything
// is put in, nullptr for what is no Task.
ParamProblem param_problem(std::string_view task_name, const std::vector<ParamSpec>& specs,
                           const std::vector<Param>& params, const TaskSpec* spec,
                           const ArrayLengths& lengths);

}  // namespace kiln::dag
