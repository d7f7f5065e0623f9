#include "dag/run_variables.h"

#include "dag/texts.h"

namespace kiln::dag {

void add_contexts(Variables& out, const Plan& plan, const PlannedTask& task, const RunContext& context) {
  out.set("context", "pipelineRun", "name", context.run_name);
  out.set("context", "pipelineRun", "namespace", context.run_namespace);
  out.set("context", "pipelineRun", "uid", context.run_uid);
  out.set("context", "pipeline", "name", plan.inline_spec ? context.run_name : plan.name);
  out.set("context", "pipelineTask", "retries", std::to_string(task.retries));
}

RunVariables::RunVariables(const Plan& plan, size_t task, const RunFacts& facts, const RunContext& context)
    : plan_(plan), facts_(facts) {
  add_contexts(contexts_, plan, plan.tasks[task], context);
  for (const WorkspaceDeclaration& workspace : plan.declared_workspaces)
    contexts_.set("workspaces", workspace.name.value, "bound", "false");
  for (const WorkspaceBinding& workspace : plan.workspaces)
    contexts_.set("workspaces", workspace.name.value, "bound", "true");
}

void RunVariables::add_fact(Variables& out, const Reference& reference) const {
  const auto& path = reference.path;
  if (path[0] != "tasks" && path[0] != "finally") return;
  if (path.size() == 2) {
    if (const auto status = facts_.aggregate_status(); path[1] == "status" && !status.empty())
      out.set("tasks", "status", ParamValue::string(std::string(status)));
    return;
  }
  const auto found = plan_.index.find(path[1]);
  if (found == plan_.index.end()) return;
  const size_t task = found->second;
  if (path.size() == 3 && (path[2] == "status" || path[2] == "reason")) {
    const std::string_view word = path[2] == "status" ? facts_.status(task) : facts_.reason(task);
    if (!facts_.aggregate_status().empty()) out.set("tasks", path[1], path[2], word);
  } else if (path.size() >= 4 && path[2] == "results") {
    if (const ParamValue* value = facts_.result(task, path[3]))
      out.set({path[0], path[1], path[2], path[3]}, *value);
  } else if (path.size() == 4 && path[2] == "matrix") {
    if (const auto length = facts_.matrix_length(task))
      out.set(path, ParamValue::string(std::to_string(*length)));
  } else if (path.size() == 5 && path[2] == "matrix") {
    if (const ParamValue* value = facts_.result(task, path[3]))
      out.set(path, ParamValue::string(std::to_string(value->items.size())));
  } else if (path.size() == 4) {
    if (auto artifact = facts_.artifact(task, path[2], path[3]))
      out.set(path, ParamValue::string(std::move(*artifact)));
  }
}

void RunVariables::add_facts(Variables& out, std::string_view text) const {
  if (!may_have_variables(text)) return;
  for (const Variable& variable : find_variables(text)) add_fact(out, variable.reference);
}

Variables RunVariables::facts_of(const Param& param) const {
  Variables out = contexts_;
  for_each_text(param, [&](std::string_view text, Position, ArrayUse) { add_facts(out, text); });
  return out;
}

}  // namespace kiln::dag
