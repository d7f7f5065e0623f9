#pragma once

#include <functional>
#include <stop_token>
#include <string>

#include "steps/probe.h"
#include "steps/sandbox.h"

namespace kiln::steps {

// A TCP socket in the network where the sandbox listens, not yet connected.
using Dial = std::function<UniqueFd(Sandbox& sandbox)>;

// Asks once: nothing when the answer is good, else what was wrong with it. Blocks for the probe's timeout at
// most, less on `stop`. Throws what `dial` throws.
std::string ask(const Probe& probe, Sandbox& sandbox, const Dial& dial, const std::stop_token& stop);

}  // namespace kiln::steps
