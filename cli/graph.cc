#include "dag/graph.h"

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>

#include "base/error.h"
#include "cli/context.h"
#include "cli/plan_input.h"
#include "cli/stored_run.h"
#include "cli/terminal.h"
#include "cli/verbs.h"

namespace kiln::cli {
namespace {

// Whether the argument can only be a run's name: a file that is there wins, and so does the look of one.
bool may_be_run(const PlanInput& input) {
  if (input.files.size() != 1) return false;
  const std::string& name = input.files.front();
  for (const char* end : {".yaml", ".yml", ".json"})
    if (name.ends_with(end)) return false;
  std::error_code unseen;
  return name != "-" && name.find('/') == std::string::npos && !std::filesystem::exists(name, unseen);
}

StoredRun named_run(const executor::Journal& journal, const std::string& name) try {
  return load_run(journal, name);
} catch (const Error& error) {
  if (error.kind() != ErrorKind::NotFound || name == "last") throw;
  throw Error(ErrorKind::Usage, "there is no file and no run \"" + name + "\"", error.hint());
}

std::string graph_of_run(const PlanInput& input, const std::string& format, Context& context) {
  executor::Journal journal(context.dirs().database());
  close_lost_runs(journal, context.dirs());
  const StoredRun run = named_run(journal, input.files.front());
  if (!input.params.empty() || !input.workspaces.empty() || !input.target.empty())
    throw Error(ErrorKind::Usage, "-p, -w and --pipeline are for files: a run has its own",
                "kiln graph " + input.files.front());
  const dag::RunOutcome outcome{run.record.id, run.record.reason, task_outcomes(journal, run)};
  return dag::graph(run.plan, format, &outcome);
}

}  // namespace

void add_graph(CLI::App& app, Context& context) {
  auto input = std::make_shared<PlanInput>();
  auto format = std::make_shared<std::string>("ascii");
  CLI::App* verb =
      app.add_subcommand("graph",
                         "Show the DAG of a pipeline, or of a run and what became of its tasks\n\n"
                         "  kiln graph pipeline.yaml -o mermaid\n"
                         "  kiln graph last                    of the last run; or its name\n");
  add_plan_options(*verb, *input);
  verb->get_option("files")->description(
      "YAML or JSON files or folders of them, - for standard input; or a run");
  verb->add_option("-o,--output", *format, "ascii, dot, mermaid or json")->capture_default_str();
  input->preview = true;
  verb->callback([input, format, &context] {
    print(may_be_run(*input) ? graph_of_run(*input, *format, context)
                             : dag::graph(compile_plan(*input, context), *format));
  });
}

}  // namespace kiln::cli
