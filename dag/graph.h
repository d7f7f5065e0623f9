#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "dag/plan.h"

// Pictures of a Plan.
namespace kiln::dag {

// One line per task in running order, indented by how deep it stands, with what it waits for and why:
//
//   fetch
//     test      ← fetch (runAfter, workspace source)
//   finally
//     report
std::string graph_ascii(const Plan& plan);
std::string graph_dot(const Plan& plan);      // Graphviz
std::string graph_mermaid(const Plan& plan);  // as GitHub renders it
nlohmann::json graph_json(const Plan& plan);

// By name, "ascii", "dot", "mermaid" or "json". Throws Usage for another.
std::string graph(const Plan& plan, std::string_view format);

}  // namespace kiln::dag
