#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace kiln::cli {

// A document as YAML in block style, keys in order; texts of several lines as `|` blocks. Whatever is read
// back by YAML 1.1 or 1.2 is the same document: what could be taken for a number or a boolean is quoted.
std::string to_yaml(const nlohmann::json& document);

}  // namespace kiln::cli
