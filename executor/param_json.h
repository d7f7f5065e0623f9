#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "dag/model.h"

namespace kiln::executor {

// A param's value as Tekton writes it: a string, an array, or an object of strings.
nlohmann::json value_json(const dag::ParamValue& value);
// `[{"name": …, "value": …}]`
nlohmann::json params_json(const std::vector<dag::Param>& params);

}  // namespace kiln::executor
