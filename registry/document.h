#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string_view>

namespace kiln::registry {

// A document that a stranger wrote, an image's or what else a registry takes for a manifest: a JSON object of
// 4 MiB and 64 levels at most. To copy, to write or to destroy a deeper one would end the process. `what` is
// how errors name it. Throws Invalid.
nlohmann::json parse_document(std::string_view text, std::string_view what);

}  // namespace kiln::registry
