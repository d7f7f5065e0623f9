#include "dag/compile.h"

#include <algorithm>

#include "base/error.h"
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

// A limit that was passed: what documents mean together is no mistake of one place.
void report(Diagnostics& diagnostics, const Documents& documents, const Error& error) {
  if (error.kind() != ErrorKind::Invalid) throw error;
  diagnostics.push_back({Severity::Error,
                         documents.sources.empty() ? "" : documents.sources.begin()->first,
                         {},
                         error.message(),
                         error.hint()});
}

// Not in the plans inside it: each would be as large as all of the documents.
void keep_sources(Plan& plan, const Documents& documents, const Catalog& catalog) {
  plan.sources = documents.sources;
  plan.remote = catalog.remote();
}

}  // namespace

const PlannedTask* Plan::task(std::string_view task_name) const {
  const auto found = index.find(std::string(task_name));
  return found == index.end() ? nullptr : &tasks[found->second];
}

std::string_view Plan::kind_name() const {
  switch (kind) {
    case Kind::Pipeline:
      return "Pipeline";
    case Kind::Task:
      return "Task";
    case Kind::CustomRun:
      return "CustomRun";
  }
  return "";
}

const std::vector<ParamSpec>& PlannedTask::declared_params() const {
  static const std::vector<ParamSpec> kNone;
  return spec ? spec->params : pipeline ? pipeline->declared_params : kNone;
}

const std::vector<ResultSpec>* PlannedTask::declared_results() const {
  return spec ? &spec->results : pipeline ? &pipeline->results : nullptr;
}

ParamType PlannedTask::result_type(std::string_view result) const {
  if (matrix) return ParamType::Array;
  if (const std::vector<ResultSpec>* declared = declared_results())
    for (const ResultSpec& one : *declared)
      if (one.name.value == result) return one.type;
  return ParamType::String;
}

Compiler::Compiler(Catalog& catalog, const Target& target, const RunRequest& request,
                   Diagnostics& diagnostics, Leniency lenient)
    : catalog_(catalog),
      target_(target),
      request_(request),
      diagnostics_(diagnostics),
      lenient_(lenient),
      reporter_(catalog.documents(), target.file, diagnostics),
      run_reporter_(catalog.documents(), target.run_file.empty() ? target.file : target.run_file,
                    diagnostics) {}

Plan Compiler::run() {
  plan_.kind = target_.kind;
  plan_.name = target_.name;
  plan_.inline_spec = target_.inline_pipeline;
  plan_.run_prefix = target_.run_prefix;
  plan_.declared_params = target_.spec->params;
  plan_.declared_workspaces = target_.spec->workspaces;
  plan_.status = target_.status;
  plan_.annotations = target_.annotations;
  plan_.labels = target_.labels;
  decide_params();
  decide_workspaces();
  decide_timeouts();
  decide_settings();
  plan_tasks();
  connect();
  plan_.index = std::move(index_);
  check_annotations();
  plan_.request = request_;
  plan_.objects = catalog_.objects();
  check_objects();
  check_images();
  return std::move(plan_);
}

bool Compiler::is_among(const std::vector<std::string>& list, const std::string& name) {
  const auto [known, fresh] = names_.try_emplace(&list);
  if (fresh) known->second.insert(list.begin(), list.end());
  return known->second.contains(name);
}

Compiled compile(const Documents& documents, const RunRequest& request, Resolver& resolver,
                 Diagnostics so_far) {
  Compiled out;
  out.diagnostics = std::move(so_far);
  Catalog catalog(documents, resolver, true);
  try {
    if (const std::optional<Target> target = select(catalog, request, out.diagnostics)) {
      Plan plan = Compiler(catalog, *target, request, out.diagnostics, {}).run();
      if (!has_errors(out.diagnostics)) out.plan = std::move(plan);
    }
  } catch (const Error& error) {
    report(out.diagnostics, documents, error);
  }
  if (out.plan) keep_sources(*out.plan, documents, catalog);
  sort_and_merge(out.diagnostics);
  return out;
}

Diagnostics lint(const Documents& documents, Resolver& resolver, Diagnostics so_far, bool fetch_remote) {
  Diagnostics diagnostics = std::move(so_far);
  Catalog catalog(documents, resolver, fetch_remote);
  const RunRequest nothing;
  const Leniency lenient{.names = true, .values = true};
  const auto check = [&](const std::optional<Target>& target) {
    if (target) Compiler(catalog, *target, nothing, diagnostics, lenient).run();
  };
  try {
    for (const PipelineRun& run : documents.pipeline_runs)
      check(target_of(run, catalog, diagnostics, lenient));
    for (const TaskRun& run : documents.task_runs) check(target_of(run, catalog, diagnostics, lenient));
    for (const CustomRun& run : documents.custom_runs) check(target_of(run));
    for (const Pipeline& pipeline : documents.pipelines) check(target_of(pipeline));
    for (const Task& task : documents.tasks) check(target_of(task));
    for (const StepAction& action : documents.step_actions) {
      Reporter reporter(documents, action.file, diagnostics);
      check_step_action(action, reporter);
    }
  } catch (const Error& error) {
    report(diagnostics, documents, error);
  }
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
