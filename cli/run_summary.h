#pragma once

#include <map>
#include <string>

#include "base/dirs.h"
#include "executor/driver.h"

namespace kiln::cli {

// What a run came to, in words on stderr: what each task took, what was CACHED, what was skipped and why, the
// critical path; on failure the step, its last lines, where its whole log is, and how to go on.
void print_summary(const executor::RunEnd& end, const dag::Plan& plan, const executor::Journal& journal,
                   const Dirs& dirs, const std::map<std::string, int>& cached);

// The run's results on stdout, a line "name<TAB>value" each; arrays and objects as JSON. Secrets are masked.
void print_results(const executor::RunEnd& end, const dag::Plan& plan);

// "critical path: fetch 1.2 s → build 30 s"; empty when one task or none ran.
std::string path_words(const dag::Plan& plan, const executor::State& state);

// The last lines of a log, however long it is.
std::string last_lines(const std::filesystem::path& log, size_t lines);

}  // namespace kiln::cli
