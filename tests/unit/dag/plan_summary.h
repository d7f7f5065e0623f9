#pragma once

#include <string>

#include "dag/plan.h"

namespace kiln::dag::testing {

// A Plan in a few lines a person can check against the document it came from: what is given, each task in
// running order with what it waits for and why, and what its steps would run before anything has produced a
// result.
std::string summary(const Plan& plan);
std::string summary(const StepAction& action);

}  // namespace kiln::dag::testing
