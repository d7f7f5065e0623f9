#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/context.h"
#include "cli/output.h"
#include "cli/stored_run.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "executor/cached_pod.h"

namespace kiln::cli {
namespace {

struct ExplainOptions {
  std::string run, task, output;
};

struct Explained {
  std::string task;
  std::string verdict;  // "CACHED", "ran", "not asked for"
  std::vector<std::string> reasons;
};

Explained explain_task(const fs::path& run, const std::string& label, const executor::TaskRunState& task) {
  if (task.phase == executor::Phase::Skipped) return {label, "skipped", {task.reason}};
  try {
    const auto report =
        executor::read_cache_report(run / "cache" / executor::attempt_folder(label, task.attempt));
    return {label, report.cached ? "CACHED" : "ran", report.reasons};
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::NotFound) throw;
  }
  if (task.message.starts_with(executor::kReusedFrom)) return {label, "CACHED", {task.message}};
  return {label, "ran", {"it has no annotation kiln.dev/cache: inputs"}};
}

void explain(const ExplainOptions& options, Context& context) {
  const executor::Journal journal(context.dirs().database());
  const StoredRun run = load_run(journal, options.run);
  std::vector<Explained> all;
  for_each_task_run(run.plan, run.state, [&](size_t i, size_t k, const std::string& label) {
    if (i >= run.state.tasks.size()) return;
    if (options.task.empty() || options.task == label || options.task == run.plan.tasks[i].name)
      all.push_back(explain_task(context.dirs().runs() / run.record.id, label, run.state.tasks[i].run(k)));
  });
  if (all.empty())
    throw Error(ErrorKind::NotFound, "run " + run.record.id + " has no task " + options.task,
                "`kiln runs describe " + run.record.id + "` lists its tasks");
  nlohmann::json objects = nlohmann::json::array();
  std::string text;
  for (const Explained& one : all) {
    objects.push_back({{"task", one.task}, {"cached", one.verdict == "CACHED"}, {"reasons", one.reasons}});
    text += one.task + "  " + one.verdict + "\n";
    for (const std::string& reason : one.reasons) text += "  " + reason + "\n";
  }
  print(options.output == "json" ? json_text(objects) : text);
}

}  // namespace

void add_explain(CLI::App& runs, Context& context) {
  auto options = std::make_shared<ExplainOptions>();
  CLI::App* verb =
      runs.add_subcommand("explain", "Say of each task why it ran, or whose work was taken instead");
  verb->add_option("run", options->run, "Run; default: the last");
  verb->add_option("-t,--task", options->task, "This task only");
  add_output_option(*verb, options->output);
  verb->callback([options, &context] { explain(*options, context); });
}

}  // namespace kiln::cli
