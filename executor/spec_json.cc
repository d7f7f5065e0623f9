#include "executor/spec_json.h"

#include <nlohmann/json.hpp>

#include "dag/claim_name.h"
#include "executor/container_json.h"
#include "executor/param_json.h"
#include "executor/scheduler.h"

namespace kiln::executor {
namespace {

using nlohmann::json;

json param_specs_json(const std::vector<dag::ParamSpec>& params) {
  json out = json::array();
  for (const dag::ParamSpec& param : params) {
    json one{{"name", param.name.value}, {"type", dag::to_string(param.type)}};
    put(one, "description", param.description);
    for (const std::string& key : param.properties) one["properties"][key] = {{"type", "string"}};
    if (param.default_value) one["default"] = value_json(*param.default_value);
    put(one, "enum", param.enumeration);
    out.push_back(std::move(one));
  }
  return out;
}

json task_workspaces_json(const std::vector<dag::WorkspaceDeclaration>& workspaces) {
  json out = json::array();
  for (const dag::WorkspaceDeclaration& workspace : workspaces) {
    json one{{"name", workspace.name.value}};
    put(one, "description", workspace.description);
    put(one, "mountPath", workspace.mount_path.value);
    if (workspace.optional) one["optional"] = true;
    if (workspace.read_only) one["readOnly"] = true;
    out.push_back(std::move(one));
  }
  return out;
}

json custom_json(const dag::CustomTask& custom) {
  json out{{"apiVersion", custom.api_version}, {"kind", custom.kind}};
  if (!custom.name.empty()) out["name"] = custom.name;
  if (!custom.spec.empty()) out["spec"] = json::parse(custom.spec, nullptr, false);
  return out;
}

json matrix_json(const dag::Matrix& matrix) {
  json out = json::object();
  put(out, "params", params_json(matrix.params));
  for (const dag::MatrixInclude& include : matrix.include) {
    json one = json::object();
    put(one, "name", include.name.value);
    put(one, "params", params_json(include.params));
    out["include"].push_back(std::move(one));
  }
  return out;
}

void put_spec(json& out, const dag::PlannedTask& task) {
  switch (task.kind) {
    case dag::PlannedTask::Kind::Task:
      if (task.spec) out["taskSpec"] = task_spec_json(*task.spec);
      break;
    case dag::PlannedTask::Kind::Custom:
      out[task.inline_spec ? "taskSpec" : "taskRef"] = custom_json(*task.custom);
      break;
    case dag::PlannedTask::Kind::Pipeline:
      if (task.pipeline) out["pipelineSpec"] = pipeline_spec_json(*task.pipeline);
      break;
  }
}

json pipeline_task_json(const dag::Plan& plan, const dag::PlannedTask& task) {
  json out{{"name", task.name}};
  put(out, "displayName", task.display_name);
  put_spec(out, task);
  put(out, "params", params_json(task.params));
  if (task.matrix) put(out, "matrix", matrix_json(*task.matrix));
  put(out, "when", when_json(task.when));
  for (const dag::TaskWorkspace& workspace : task.workspaces) {
    if (!workspace.bound) continue;
    json one{{"name", workspace.declaration.name.value}, {"workspace", workspace.binding.name.value}};
    out["workspaces"].push_back(std::move(one));
  }
  for (const dag::Edge& edge : task.needs)
    for (const dag::EdgeReason& reason : edge.reasons)
      if (reason.kind == dag::EdgeReason::Kind::RunAfter && !task.is_finally)
        out["runAfter"].push_back(plan.tasks[edge.from].name);
  if (task.retries > 0) out["retries"] = task.retries;
  if (task.continue_on_error) out["onError"] = "continue";
  return out;
}

}  // namespace

json when_json(const std::vector<dag::When>& whens) {
  json out = json::array();
  for (const dag::When& when : whens) {
    if (!when.cel.empty()) {
      out.push_back({{"cel", when.cel.value}});
      continue;
    }
    json values = json::array();
    for (const dag::Text& value : when.values) values.push_back(value.value);
    out.push_back({{"input", when.input.value}, {"operator", when.op.value}, {"values", std::move(values)}});
  }
  return out;
}

json task_spec_json(const dag::TaskSpec& spec) {
  json out = json::object();
  put(out, "displayName", spec.display_name);
  put(out, "description", spec.description);
  put(out, "params", param_specs_json(spec.params));
  put(out, "results", result_specs_json(spec.results));
  put(out, "workspaces", task_workspaces_json(spec.workspaces));
  for (const dag::Step& step : spec.steps) out["steps"].push_back(step_json(step));
  for (const dag::Sidecar& sidecar : spec.sidecars) out["sidecars"].push_back(sidecar_json(sidecar));
  for (const dag::Volume& volume : spec.volumes) out["volumes"].push_back(volume_json(volume));
  if (spec.step_template) out["stepTemplate"] = step_json(*spec.step_template);
  return out;
}

json pipeline_spec_json(const dag::Plan& plan) {
  json out{{"tasks", json::array()}};
  put(out, "params", param_specs_json(plan.declared_params));
  for (const dag::WorkspaceDeclaration& workspace : plan.declared_workspaces) {
    json one{{"name", workspace.name.value}};
    put(one, "description", workspace.description);
    if (workspace.optional) one["optional"] = true;
    out["workspaces"].push_back(std::move(one));
  }
  for (const dag::PlannedTask& task : plan.tasks)
    out[task.is_finally ? "finally" : "tasks"].push_back(pipeline_task_json(plan, task));
  put(out, "results", result_specs_json(plan.results));
  return out;
}

json workspaces_json(const std::vector<dag::WorkspaceBinding>& bindings, std::string_view run_uid) {
  json out = json::array();
  for (const dag::WorkspaceBinding& binding : bindings) {
    json one{{"name", binding.name.value}};
    put(one, "subPath", binding.sub_path.value);
    // A folder of this machine, or of the run, is a fresh one anywhere else.
    json source{{"emptyDir", json::object()}};
    if (binding.kind == dag::WorkspaceBinding::Kind::Volume)
      source = volume_source_json(binding.source);
    else if (binding.kind == dag::WorkspaceBinding::Kind::RunFolder && !run_uid.empty())
      source = {{"persistentVolumeClaim", {{"claimName", dag::claim_name(binding, run_uid)}}}};
    if (!source.is_object()) continue;
    one.update(source);
    out.push_back(std::move(one));
  }
  return out;
}

}  // namespace kiln::executor
