#pragma once

#include <nlohmann/json.hpp>

#include "dag/model.h"

// Containers and volumes as JSON; used by spec_json.cc only.
namespace kiln::executor {

// Sets a field unless it is empty.
void put(nlohmann::json& out, const char* key, const std::string& value);
void put(nlohmann::json& out, const char* key, const std::vector<dag::Text>& values);
// Sets a field unless it is an empty list or object.
void put(nlohmann::json& out, const char* key, nlohmann::json value);

nlohmann::json step_json(const dag::Step& step);
nlohmann::json sidecar_json(const dag::Sidecar& sidecar);
nlohmann::json volume_json(const dag::Volume& volume);
// With its kind as the only field: {"emptyDir": {}}. Null for what Kiln keeps nothing of.
nlohmann::json volume_source_json(const dag::VolumeSource& source);
nlohmann::json result_specs_json(const std::vector<dag::ResultSpec>& results);

}  // namespace kiln::executor
