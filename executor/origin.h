#pragma once

#include <nlohmann/json_fwd.hpp>

#include "dag/compile.h"

// Everything needed to compile a run's plan again, as the journal keeps it.
namespace kiln::executor {

nlohmann::json origin_of(const dag::Plan& plan);
// Throws Invalid when this version of Kiln no longer takes the documents.
dag::Plan plan_of(const nlohmann::json& origin);

}  // namespace kiln::executor
