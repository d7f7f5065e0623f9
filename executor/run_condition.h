#pragma once

#include <string>

#include "executor/state.h"

// What the condition of a run says (Tekton's pipelinerunstate.go and taskrun.go).
namespace kiln::executor {

struct RunCondition {
  std::string reason, message;
};

// Of a run all of whose tasks have ended.
RunCondition end_condition(const dag::Plan& plan, const State& state, const dag::RunContext& context);

// Of a run that has started and not finished.
RunCondition running_condition(const dag::Plan& plan, const State& state);

}  // namespace kiln::executor
