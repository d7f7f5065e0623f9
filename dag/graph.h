#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "dag/outcomes.h"
#include "dag/plan.h"

// Pictures of a Plan, and of a run of it.
namespace kiln::dag {

// One line per task in running order, indented by how deep it stands, with what it waits for and why:
//
//   fetch
//     test      ← fetch (runAfter, workspace source)
//   finally
//     report
//
// Of a run, with what became of each task beside its name. `outcome` may be null, and says nothing of tasks
// that it does not hold.
std::string graph_ascii(const Plan& plan, const RunOutcome* outcome = nullptr);
std::string graph_dot(const Plan& plan, const RunOutcome* outcome = nullptr);      // Graphviz
std::string graph_mermaid(const Plan& plan, const RunOutcome* outcome = nullptr);  // as GitHub renders it
nlohmann::json graph_json(const Plan& plan, const RunOutcome* outcome = nullptr);

// By name, "ascii", "dot", "mermaid" or "json". Throws Usage for another.
std::string graph(const Plan& plan, std::string_view format, const RunOutcome* outcome = nullptr);

}  // namespace kiln::dag
