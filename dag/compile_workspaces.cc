#include <algorithm>

#include "dag/compiler.h"

namespace kiln::dag {
namespace {

std::string join_path(const std::string& a, const std::string& b) {
  return a.empty() ? b : b.empty() ? a : a + "/" + b;
}

// Names of workspaces that a spec mentions as $(workspaces.NAME.…) or isolates to a step.
std::set<std::string> mentioned_workspaces(const TaskSpec& spec) {
  std::set<std::string> out;
  for_each_text(spec, [&](std::string_view text, Position, ArrayUse) {
    if (!may_have_variables(text)) return;
    for (const Variable& variable : find_variables(text))
      if (variable.reference.path[0] == "workspaces") out.insert(variable.reference.path[1]);
  });
  for (const Step& step : spec.steps)
    for (const WorkspaceUsage& usage : step.workspaces) out.insert(usage.name);
  for (const Sidecar& sidecar : spec.sidecars)
    for (const WorkspaceUsage& usage : sidecar.workspaces) out.insert(usage.name);
  return out;
}

// Items of a list by name; of two with the same, the first.
template <class T>
std::unordered_map<std::string_view, const T*> by_name(const std::vector<T>& list) {
  std::unordered_map<std::string_view, const T*> out;
  for (const T& item : list) out.emplace(item.name.value, &item);
  return out;
}

template <class T>
const T* find_in(const std::unordered_map<std::string_view, const T*>& items, std::string_view name) {
  const auto found = items.find(name);
  return found == items.end() ? nullptr : found->second;
}

const std::string& name_of(const WorkspaceDeclaration& workspace) {
  return workspace.name.value;
}

}  // namespace

void Compiler::add_binding(WorkspaceBinding binding) {
  bindings_.emplace(binding.name.value, plan_.workspaces.size());
  plan_.workspaces.push_back(std::move(binding));
}

const WorkspaceBinding* Compiler::binding_of(const std::string& name) const {
  const auto found = bindings_.find(name);
  return found == bindings_.end() ? nullptr : &plan_.workspaces[found->second];
}

const WorkspaceDeclaration* Compiler::declared_workspace(const std::string& name) const {
  return find_in(declared_workspaces_, name);
}

void Compiler::bind(PlannedTask& task, const WorkspaceDeclaration& declaration,
                    const std::string& pipeline_name, const Text& sub_path) {
  TaskWorkspace workspace;
  workspace.declaration = declaration;
  if (const WorkspaceBinding* binding = binding_of(pipeline_name)) {
    workspace.binding = *binding;
    workspace.binding.sub_path.value =
        join_path(binding->sub_path.value, substitute(sub_path.value, param_values_));
  } else {
    workspace.bound = false;
  }
  task.workspaces.push_back(std::move(workspace));
}

// Bindings of workspaces that the Task does not have, by the one that it has and nobody binds.
std::map<std::string, std::string> Compiler::workspace_slips(const PipelineTask& from,
                                                             const PlannedTask& task,
                                                             const Signature& signature) const {
  if (task.inline_spec || signature.workspaces == nullptr) return {};
  const auto uses = by_name(from.workspaces);
  const auto of_task = by_name(*signature.workspaces);
  std::vector<std::string> unknown, unbound;
  for (const WorkspacePipelineTaskBinding& use : from.workspaces)
    if (find_in(of_task, use.name.value) == nullptr) unknown.push_back(use.name);
  for (const WorkspaceDeclaration& workspace : *signature.workspaces)
    if (!workspace.optional && find_in(uses, workspace.name.value) == nullptr)
      unbound.push_back(workspace.name);
  return reporter_.slips(unknown, unbound);
}

void Compiler::check_uses(const PipelineTask& from, const PlannedTask& task, const Signature& signature,
                          const std::map<std::string, std::string>& slips) {
  std::unordered_map<std::string_view, const WorkspaceDeclaration*> of_task;
  if (signature.workspaces != nullptr) of_task = by_name(*signature.workspaces);
  std::set<std::string_view> meant_otherwise;
  for (const auto& [meant, given] : slips) meant_otherwise.insert(given);
  for (const WorkspacePipelineTaskBinding& use : from.workspaces) {
    check_pipeline_text(use.sub_path.value, use.sub_path.at, ArrayUse::Never, reporter_);
    const WorkspaceDeclaration* outer = declared_workspace(use.workspace);
    if (outer == nullptr && binding_of(use.workspace) == nullptr) {
      const std::string near = reporter_.suggest(use.workspace.value, target_.spec->workspaces, name_of);
      reporter_.error(
          use.workspace.at,
          "pipeline task \"" + task.name + "\" expects workspace with name \"" + use.workspace.value +
              "\" but none exists in pipeline spec",
          near.empty() ? "declare it under the pipeline's `workspaces`: {name: " + use.workspace.value + "}"
                       : near);
      continue;
    }
    if (signature.workspaces == nullptr) continue;
    if (const WorkspaceDeclaration* inner = find_in(of_task, use.name.value)) {
      if (outer != nullptr && outer->optional && !inner->optional)
        reporter_.error(use.name.at,
                        "pipeline workspace \"" + use.workspace.value +
                            "\" is marked optional but pipeline task \"" + task.name +
                            "\" requires it be provided",
                        "leave out `optional` in the pipeline, or add it in the Task");
    } else if (!task.inline_spec && !meant_otherwise.contains(use.name.value)) {
      reporter_.warn(use.name.at, signature.what + " declares no workspace `" + use.name.value + "`",
                     reporter_.suggest(use.name.value, *signature.workspaces, name_of));
    }
  }
}

void Compiler::bind_workspaces(const PipelineTask& from, PlannedTask& task, const Signature& signature) {
  const auto slips = workspace_slips(from, task, signature);
  check_uses(from, task, signature, slips);
  if (task.kind == PlannedTask::Kind::Custom)
    for (const WorkspacePipelineTaskBinding& use : from.workspaces)
      bind(task, {.name = use.name}, use.workspace, use.sub_path);
  if (signature.workspaces == nullptr) return;
  const auto uses = by_name(from.workspaces);
  for (const WorkspaceDeclaration& declaration : *signature.workspaces) {
    if (const WorkspacePipelineTaskBinding* use = find_in(uses, declaration.name.value)) {
      bind(task, declaration, use->workspace, use->sub_path);
    } else if (task.inline_spec && binding_of(declaration.name) != nullptr) {
      bind(task, declaration, declaration.name, {});  // propagated
    } else if (declaration.optional) {
      bind(task, declaration, "", {});
    } else {
      const auto slip = slips.find(declaration.name.value);
      const WorkspacePipelineTaskBinding* near = slip == slips.end() ? nullptr : find_in(uses, slip->second);
      reporter_.error(near == nullptr ? task.at : near->name.at,
                      "pipeline task \"" + task.name + "\": declared workspace \"" + declaration.name.value +
                          "\" is required but has not been bound",
                      near == nullptr
                          ? "add under its `workspaces`: {name: " + declaration.name.value + ", workspace: …}"
                          : "did you mean `" + declaration.name.value + "`?");
    }
  }
  if (task.inline_spec) propagate_workspaces(from, task);
}

// Workspaces of the pipeline that an inline spec uses without declaring them.
void Compiler::propagate_workspaces(const PipelineTask& from, PlannedTask& task) {
  std::set<std::string> mentioned;
  if (task.spec) {
    mentioned = mentioned_workspaces(*task.spec);
    for (const WorkspaceDeclaration& own : task.spec->workspaces) mentioned.erase(own.name);
  } else if (task.pipeline) {  // what its own tasks use is known to its Compiler alone: hand on everything
    catalog_.spend(plan_.workspaces.size() / 4);
    const auto own = by_name(task.pipeline->declared_workspaces);
    for (const WorkspaceBinding& binding : plan_.workspaces)
      if (!own.contains(binding.name.value)) mentioned.insert(binding.name);
  }
  const auto uses = by_name(from.workspaces);
  for (const std::string& name : mentioned) {
    const WorkspacePipelineTaskBinding* use = find_in(uses, name);
    const std::string outer = use == nullptr ? name : use->workspace.value;
    if (binding_of(outer) == nullptr && declared_workspace(outer) == nullptr)
      continue;  // stays literal, as in Tekton
    WorkspaceDeclaration declaration;
    declaration.name = {name, task.at};
    declaration.optional = binding_of(outer) == nullptr;
    bind(task, declaration, outer, use == nullptr ? Text{} : use->sub_path);
  }
}

}  // namespace kiln::dag
