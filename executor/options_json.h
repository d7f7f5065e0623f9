#pragma once

#include <string>
#include <string_view>

#include "executor/driver.h"

namespace kiln::executor {

// What a run was allowed and asked for, as the journal keeps it for whoever carries the run on: all of
// RunOptions but the tokens and what it reuses of an earlier run. Folders become absolute.
std::string to_text(const RunOptions& options);
// Throws Invalid for what to_text() did not write. "" is what a run gets that nobody said anything about.
RunOptions options_from(std::string_view text);

}  // namespace kiln::executor
