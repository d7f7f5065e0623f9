#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace kiln {

// A TOML 1.0 document as a JSON value (dates become RFC 3339 strings), so that one tree type serves all
// readers and toml++ is compiled once. `name` is what errors call the document ("order.toml").
// Throws Invalid with line and column.
nlohmann::json parse_toml(std::string_view text, std::string_view name);

// The reverse: objects become tables, arrays of objects become arrays of tables; null members are left out.
std::string to_toml(const nlohmann::json& value);

}  // namespace kiln
