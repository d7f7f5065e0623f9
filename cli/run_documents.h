#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "cli/stored_run.h"

namespace kiln::cli {

// A run as the objects a cluster would have of it: its PipelineRun, then its TaskRuns and CustomRuns, those
// of pipelines inside it included; of a lone Task its TaskRun.
std::vector<nlohmann::json> run_documents(const executor::Journal& journal, const StoredRun& run);

// "yaml": documents with `---` between. "json": the object if it is one, else a `v1` List of them.
std::string render_documents(const std::vector<nlohmann::json>& documents, const std::string& format);

}  // namespace kiln::cli
