#pragma once

#include <stop_token>
#include <string>

#include "steps/probe.h"
#include "steps/sandbox.h"

namespace kiln::steps {

// Asks once: nothing when the answer is good, else what was wrong with it. `network` is the namespace where
// the sandbox listens (-1: ours). Blocks for the probe's timeout at most, less on `stop`.
std::string ask(const Probe& probe, Sandbox& sandbox, int network, const std::stop_token& stop);

}  // namespace kiln::steps
