#include "dag/artifacts.h"

#include <nlohmann/json.hpp>

namespace kiln::dag {

std::optional<std::string> artifact_values(std::string_view provenance, std::string_view kind,
                                           std::string_view name) {
  using nlohmann::json;
  const json document = json::parse(provenance, nullptr, false);
  if (!document.is_object()) return std::nullopt;
  const auto list = document.find(kind);
  if (list == document.end() || !list->is_array()) return std::nullopt;
  for (const json& artifact : *list) {
    if (!artifact.is_object()) continue;
    const auto own = artifact.find("name");
    if (!name.empty() && (own == artifact.end() || *own != name)) continue;
    const auto values = artifact.find("values");
    if (values == artifact.end()) return std::nullopt;
    return values->dump(-1, ' ', false, json::error_handler_t::replace);
  }
  return std::nullopt;
}

}  // namespace kiln::dag
