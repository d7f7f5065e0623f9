#include "dag/compile.h"

#include <algorithm>

#include "dag/compiler.h"

namespace kiln::dag {
namespace {

void sort_and_merge(Diagnostics& diagnostics) {
  std::ranges::stable_sort(diagnostics, [](const Diagnostic& a, const Diagnostic& b) {
    return std::tie(a.file, a.at) < std::tie(b.file, b.at);
  });
  std::set<Diagnostic> seen;
  std::erase_if(diagnostics, [&](const Diagnostic& d) { return !seen.insert(d).second; });
}

}  // namespace

const PlannedTask* Plan::task(std::string_view task_name) const {
  const auto found = std::ranges::find(tasks, task_name, &PlannedTask::name);
  return found == tasks.end() ? nullptr : &*found;
}

Plan Compiler::run() {
  plan_.kind = target_.kind;
  plan_.name = target_.name;
  plan_.run_prefix = target_.run_prefix;
  decide_params();
  decide_workspaces();
  decide_timeouts();
  plan_tasks();
  for (PlannedTask& task : plan_.tasks) {
    const PipelineTask& from = *from_[static_cast<size_t>(&task - plan_.tasks.data())];
    task.when = from.when;
    for (When& when : task.when) {
      when.input.value = substitute(when.input.value, param_values_);
      when.values = substitute_list(when.values, param_values_);
    }
  }
  connect();
  plan_.request = request_;
  plan_.sources = catalog_.documents().sources;
  plan_.remote = catalog_.remote();
  return std::move(plan_);
}

Compiled compile(const Documents& documents, const RunRequest& request, Resolver& resolver,
                 Diagnostics so_far) {
  Compiled out;
  out.diagnostics = std::move(so_far);
  Catalog catalog(documents, resolver, true);
  if (const std::optional<Target> target = select(catalog, request, out.diagnostics)) {
    Compiler compiler(catalog, *target, request, out.diagnostics, false);
    Plan plan = compiler.run();
    if (!has_errors(out.diagnostics)) out.plan = std::move(plan);
  }
  sort_and_merge(out.diagnostics);
  return out;
}

Diagnostics lint(const Documents& documents, Resolver& resolver, Diagnostics so_far, bool fetch_remote) {
  Diagnostics diagnostics = std::move(so_far);
  Catalog catalog(documents, resolver, fetch_remote);
  const RunRequest nothing;
  const auto check = [&](const std::optional<Target>& target) {
    if (target) Compiler(catalog, *target, nothing, diagnostics, true).run();
  };
  for (const PipelineRun& run : documents.pipeline_runs) check(target_of(run, catalog, diagnostics, true));
  for (const TaskRun& run : documents.task_runs) check(target_of(run, catalog, diagnostics, true));
  for (const Pipeline& pipeline : documents.pipelines) check(target_of(pipeline));
  for (const Task& task : documents.tasks) check(target_of(task));
  sort_and_merge(diagnostics);
  return diagnostics;
}

Compiled recompile(const std::map<std::string, std::string>& sources,
                   const std::map<std::string, std::string>& remote, const RunRequest& request) {
  Documents documents;
  Diagnostics diagnostics;
  for (const auto& [file, text] : sources) load(documents, file, text, diagnostics);
  StoredResolver resolver(remote);
  return compile(documents, request, resolver, std::move(diagnostics));
}

}  // namespace kiln::dag
