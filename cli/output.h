#pragma once

#include <initializer_list>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace kiln::cli {

// JSON as `-o json` prints it: indented, with a line's end. Bytes that are no UTF-8 (a step's result may hold
// any) become U+FFFD.
std::string json_text(const nlohmann::json& value);

// Adds -o, --output to a verb: one of `formats`, "" when not given.
CLI::Option& add_output_option(CLI::App& verb, std::string& output,
                               std::initializer_list<const char*> formats = {"json"},
                               const std::string& description = "");

}  // namespace kiln::cli
