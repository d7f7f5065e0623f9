#include "builders/launcher/metadata.h"

#include <algorithm>

#include "base/toml_parser.h"

namespace kiln::launcher {
namespace {

std::vector<std::string> strings(const toml::node_view<const toml::node>& node) {
  std::vector<std::string> out;
  if (const auto* array = node.as_array())
    for (const auto& item : *array)
      if (const auto* text = item.as_string()) out.push_back(text->get());
  return out;
}

}  // namespace

bool read_metadata(const std::string& file, Metadata& out, std::string& error) {
  const toml::parse_result result = toml::parse_file(file);
  if (!result) {
    error = result.error().description();
    return false;
  }
  if (const auto* list = result["buildpacks"].as_array())
    for (const auto& entry : *list)
      if (const auto* table = entry.as_table()) {
        std::string id = (*table)["id"].value_or(std::string());
        std::replace(id.begin(), id.end(), '/', '_');
        out.buildpacks.push_back(id);
      }
  if (const auto* list = result["processes"].as_array())
    for (const auto& entry : *list)
      if (const auto* table = entry.as_table())
        out.processes.push_back({(*table)["type"].value_or(std::string()), strings((*table)["command"]),
                                 strings((*table)["args"]), (*table)["working-dir"].value_or(std::string())});
  return true;
}

bool read_variables(const std::string& text, std::map<std::string, std::string>& out, std::string& error) {
  const toml::parse_result result = toml::parse(text);
  if (!result) {
    error = result.error().description();
    return false;
  }
  for (const auto& [key, value] : result.table()) {
    const auto* string = value.as_string();
    if (!string) {
      error = "\"" + std::string(key.str()) + "\" is not a string";
      return false;
    }
    out[std::string(key.str())] = string->get();
  }
  return true;
}

}  // namespace kiln::launcher
