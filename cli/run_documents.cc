#include "cli/run_documents.h"

#include <nlohmann/json.hpp>

#include "cli/output.h"
#include "cli/yaml_text.h"
#include "executor/report.h"

namespace kiln::cli {

using nlohmann::json;

std::vector<json> run_documents(const executor::Journal& journal, const StoredRun& run) {
  std::vector<json> out{executor::describe(run.record, run.plan, run.state)};
  for (json& child : executor::describe_children(run.record, run.plan, run.state))
    out.push_back(std::move(child));
  for (const executor::RunRecord& child : journal.children(run.record.id))
    for (json& document : run_documents(journal, load_run(journal, child.id)))
      out.push_back(std::move(document));
  return out;
}

std::string render_documents(const std::vector<json>& documents, const std::string& format) {
  if (format == "json") {
    const json whole = documents.size() == 1
                           ? documents.front()
                           : json{{"apiVersion", "v1"}, {"kind", "List"}, {"items", documents}};
    return json_text(whole);
  }
  std::string out;
  for (const json& document : documents) out += (out.empty() ? "" : "---\n") + to_yaml(document);
  return out;
}

}  // namespace kiln::cli
