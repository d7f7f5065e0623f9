#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "base/error.h"

namespace kiln::builders {

// Runs `read`, which takes a parsed TOML document apart. A member of another type than the specification
// gives it becomes an Error that names the document ("launch.toml: type must be string, but is number").
template <class Read>
auto read_document(ErrorKind kind, const std::string& name, const Read& read) {
  try {
    return read();
  } catch (const nlohmann::json::exception& wrong) {
    std::string what = wrong.what();
    if (const size_t prefix = what.find("] "); prefix != std::string::npos) what.erase(0, prefix + 2);
    throw Error(kind, name + ": " + what, "see the file's section in the buildpack specification");
  }
}

}  // namespace kiln::builders
