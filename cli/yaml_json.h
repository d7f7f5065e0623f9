#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace kiln::cli {

// The only document of a YAML (or JSON) text as JSON, scalars typed as Kubernetes types them. Throws Invalid
// with the place of the mistake.
nlohmann::json yaml_to_json(std::string_view text, const std::string& name);

}  // namespace kiln::cli
