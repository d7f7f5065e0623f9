#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "executor/state.h"

// The status of one child of a run, as Tekton writes it. Inside of report.cc.
namespace kiln::executor {

nlohmann::json condition_json(std::string_view status, std::string_view reason, std::string_view message,
                              Time at);

nlohmann::json result_json(const std::string& name, const dag::ParamValue& value);

// Of a TaskRun, CustomRun or PipelineRun called `name` that has started.
nlohmann::json child_status_json(const TaskRunState& task, const dag::PlannedTask& planned,
                                 const std::string& name);

}  // namespace kiln::executor
