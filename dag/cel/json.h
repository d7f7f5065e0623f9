#pragma once

#include <nlohmann/json_fwd.hpp>

#include "dag/cel/value.h"

// Between CEL and JSON (langdef, "JSON Data Conversion").
namespace kiln::cel {

// Objects become maps, whole numbers int (uint when too large for it), all others double. Throws kiln::Error
// (Invalid) for nesting deeper than 500 and for strings that are not UTF-8.
Value from_json(const nlohmann::json& json);

// Timestamps and durations become strings, bytes base64, keys of maps strings, NaN and the infinities
// strings. Throws kiln::Error (Invalid) for a type, and for a value that would be more than `most_values` in
// JSON: a few lists that hold each other over and over can stand for any number.
nlohmann::json to_json(const Value& value, size_t most_values = 1'000'000);

}  // namespace kiln::cel
