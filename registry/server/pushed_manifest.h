#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

// Inside of registry/server/server_manifests: what a stranger sent as a manifest, looked at before anything
// keeps it. Pure functions.
namespace kiln::registry::detail {

// Of any type, also of one that Kiln does not know: other clients read these members of what was pushed.
// Throws Invalid for what is no JSON object, too deep, or has a member of the wrong type.
nlohmann::json parse_pushed(std::string_view bytes);

// Its type: as the request says it (Content-Type) and as it says itself (`mediaType`), which must be the
// same. JSON types only, since it is served as what it was pushed as. Throws Invalid.
std::string pushed_media_type(std::string_view content_type, const nlohmann::json& document);

}  // namespace kiln::registry::detail
