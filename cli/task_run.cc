#include "cli/task_run.h"

#include "cli/stored_run.h"
#include "cli/terminal.h"
#include "executor/report.h"

namespace kiln::cli {
namespace {

using nlohmann::json;

// A name that is cut and hashed does not begin with the whole of its run's.
bool may_be_child(const std::string& name, const std::string& run) {
  constexpr size_t kHash = 32;
  return name.starts_with(run + "-") || (name.size() > kHash && name.front() == run.front());
}

std::optional<json> find_in(const executor::Journal& journal, const executor::RunRecord& run,
                            const std::string& name) {
  const StoredRun stored = load_run(journal, run.id);
  for (json& child : executor::describe_children(stored.record, stored.plan, stored.state))
    if (child["metadata"]["name"] == name) return std::move(child);
  for (const executor::RunRecord& child : journal.children(run.id))
    if (auto found = find_in(journal, child, name)) return found;
  return std::nullopt;
}

}  // namespace

std::optional<json> find_task_run(const executor::Journal& journal, const std::string& name) {
  if (name.empty()) return std::nullopt;
  for (const executor::RunRecord& run : journal.list(journal.kAll))
    if (run.kind == "Pipeline" && may_be_child(name, run.id))
      if (auto found = find_in(journal, run, name)) return found;
  return std::nullopt;
}

std::string task_run_words(const json& task_run) {
  const json& metadata = task_run["metadata"];
  const json& condition = task_run["status"]["conditions"].front();
  const json labels = metadata.value("labels", json::object());
  std::string out = task_run.value("kind", "") + ": " + metadata.value("name", "") +
                    "\nRun:     " + labels.value("tekton.dev/pipelineRun", "") + ", task " +
                    labels.value("tekton.dev/pipelineTask", "") +
                    "\nResult:  " + condition.value("reason", "") + "\n         " +
                    condition.value("message", "") + "\n";
  std::vector<std::vector<std::string>> rows{{"STEP", "ENDED", "EXIT CODE"}};
  for (const json& step : task_run["status"].value("steps", json::array()))
    rows.push_back({step.value("name", ""), step.value("terminationReason", ""),
                    std::to_string(step["terminated"].value("exitCode", 0))});
  return rows.size() > 1 ? out + "\n" + table(rows) : out;
}

}  // namespace kiln::cli
