// A stranger's YAML all the way: what lint says, the Plan, its pictures, its copy compiled from what it keeps
// of itself, and the tasks that would run.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/error.h"
#include "dag/compile.h"
#include "dag/graph.h"
#include "dag/resolve.h"

namespace {

using namespace kiln::dag;
using kiln::Diagnostic;
using kiln::Diagnostics;

// Lines and columns as `kiln lint` shows them: the byte order mark is no part of the first line.
bool lies_inside(kiln::Position at, std::string_view text) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  if (at.line == 0) return at.column == 0;
  for (int line = 1; line < at.line; ++line) {
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) return false;
    text.remove_prefix(end + 1);
  }
  const size_t length = std::min(text.find('\n'), text.size());
  return at.column >= 1 && static_cast<size_t>(at.column) <= length + 1;
}

// Every diagnostic is shown, points into the file, and says something.
void check(const Diagnostics& diagnostics, const Documents& documents) {
  const std::string& source = documents.sources.begin()->second;
  for (const Diagnostic& diagnostic : diagnostics)
    if (diagnostic.message.empty() || diagnostic.file != "fuzz.yaml" || !lies_inside(diagnostic.at, source))
      std::abort();
  const std::string shown = render(diagnostics, documents.sources);
  const auto lines = static_cast<size_t>(std::ranges::count(shown, '\n'));
  if (lines < diagnostics.size()) std::abort();
}

std::string pictures(const Plan& plan) {
  std::string out;
  for (const char* format : {"ascii", "dot", "mermaid", "json"}) out += graph(plan, format);
  return out;
}

void check_order(const Plan& plan) {
  for (size_t i = 0; i < plan.tasks.size(); ++i) {
    if (plan.tasks[i].is_finally != (i >= plan.dag_size)) std::abort();
    for (const Edge& edge : plan.tasks[i].needs)
      if (edge.from >= std::min(i, plan.dag_size) || edge.reasons.empty()) std::abort();
  }
}

void resolve(const Plan& plan, size_t task) {
  const RunContext context{"run", "uid"};
  (void)check_ready(plan, task, no_facts(), context);
  (void)resolve_task(plan, task, no_facts(), context);
  (void)child_name(plan, task, "run", {.in_matrix = 0});
  try {
    const size_t combinations = resolve_matrix(plan, task, no_facts(), context).size();
    for (size_t i = 0; i < std::min<size_t>(combinations, 3); ++i)
      (void)resolve_task(plan, task, no_facts(), context, {1, i});
  } catch (const kiln::Error& error) {
    if (error.kind() != kiln::ErrorKind::Invalid) std::abort();
  }
  if (plan.tasks[task].kind != PlannedTask::Kind::Pipeline) return;
  const RunRequest inside = nested_request(plan, task, no_facts(), context);
  if (const Compiled nested = recompile(plan.sources, plan.remote, inside); nested.plan)
    check_order(*nested.plan);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Documents documents;
  Diagnostics loaded;
  load(documents, "fuzz.yaml", std::string(reinterpret_cast<const char*>(data), size), loaded);
  StoredResolver resolver;
  const Diagnostics linted = lint(documents, resolver, loaded);
  check(linted, documents);
  const Compiled compiled = compile(documents, {}, resolver, std::move(loaded));
  check(compiled.diagnostics, documents);
  if (compiled.plan.has_value() == kiln::has_errors(compiled.diagnostics)) std::abort();
  if (!compiled.plan) return 0;

  const Plan& plan = *compiled.plan;
  check_order(plan);
  (void)unsupported(plan);
  const Compiled again = recompile(plan.sources, plan.remote, plan.request);
  if (!again.plan || pictures(*again.plan) != pictures(plan)) std::abort();
  for (size_t i = 0; i < plan.tasks.size() && i < 50; ++i) resolve(plan, i);
  if (!plan.tasks.empty()) (void)resolve_results(plan, no_facts(), {"run", "uid"});
  return 0;
}
