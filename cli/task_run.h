#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "executor/journal.h"

namespace kiln::cli {

// The tekton.dev/v1 object of a TaskRun of a pipeline's run, also of a pipeline inside it, by the name that
// `childReferences` has ("hello-run-x7k2p-build"). Looks through the newest runs.
std::optional<nlohmann::json> find_task_run(const executor::Journal& journal, const std::string& name);

// How it ended and what became of its steps, for people.
std::string task_run_words(const nlohmann::json& task_run);

}  // namespace kiln::cli
