#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/fs.h"
#include "base/text.h"
#include "cli/context.h"
#include "cli/pipeline_run.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "executor/driver.h"
#include "executor/report.h"

namespace kiln::cli {
namespace {

using nlohmann::json;

struct RunsOptions {
  std::string run, output, task;
  PipelineRunOptions rerun;
};

executor::State state_of(executor::Journal& journal, const std::string& id, const dag::Plan& plan) {
  executor::State state;
  for (const executor::Event& event : journal.events(id, plan)) executor::apply(plan, state, event);
  return state;
}

void list(const RunsOptions& options, Context& context) {
  executor::Journal journal(context.dirs().database());
  json objects = json::array();
  std::vector<std::vector<std::string>> rows{{"RUN", "KIND", "NAME", "STARTED", "TOOK", "RESULT"}};
  for (const executor::RunRecord& run : journal.list()) {
    rows.push_back({run.id, run.kind, run.name, format_rfc3339(run.created),
                    run.finished ? format_seconds(seconds(*run.finished - run.created)) : "-", run.reason});
    objects.push_back({{"run", run.id},
                       {"kind", run.kind},
                       {"name", run.name},
                       {"started", format_rfc3339(run.created)},
                       {"reason", run.reason},
                       {"message", run.message}});
  }
  print(options.output == "json" ? objects.dump(2) + "\n" : table(rows));
}

void describe(const RunsOptions& options, Context& context) {
  executor::Journal journal(context.dirs().database());
  const executor::RunRecord run = journal.find(options.run);
  const dag::Plan plan = journal.plan(run.id);
  const executor::State state = state_of(journal, run.id, plan);
  if (options.output == "json") return print(executor::describe(run, plan, state).dump(2) + "\n");
  print("Run:     " + run.id + "\nRuns:    " + run.kind + " " + run.name + "\nResult:  " + run.reason +
        "\n         " + run.message + "\n\n");
  std::vector<std::vector<std::string>> rows{{"TASK", "STATE", "TOOK", "REASON"}};
  for (size_t i = 0; i < plan.tasks.size(); ++i) {
    const executor::TaskState& task = state.tasks[i];
    rows.push_back({plan.tasks[i].name, std::string(to_string(task.phase)),
                    task.finished > task.started && task.started > Time{}
                        ? format_seconds(seconds(task.finished - task.started))
                        : "-",
                    task.reason});
  }
  print(table(rows));
}

void remove(const RunsOptions& options, Context& context) {
  executor::Journal journal(context.dirs().database());
  const executor::RunRecord run = journal.find(options.run);
  if (!run.finished) throw Error(ErrorKind::Failed, "run " + run.id + " has not finished", "stop it first");
  remove_tree(context.dirs().runs() / run.id);
  journal.remove(run.id);
  print("deleted " + run.id + "\n");
}

void rerun(const RunsOptions& options, Context& context) {
  executor::Journal journal(context.dirs().database());
  run_plan(context, journal.plan(journal.find(options.run).id), options.rerun);
}

// The logs in one attempt's folder in the order in which the steps began; also of a run that was cut off.
std::vector<fs::path> step_logs(const fs::path& folder) {
  std::vector<std::pair<fs::file_time_type, fs::path>> logs;
  std::error_code missing;
  for (const auto& entry : fs::directory_iterator(folder, missing))
    if (entry.path().extension() == ".log") logs.emplace_back(entry.last_write_time(), entry.path());
  std::ranges::sort(logs);
  std::vector<fs::path> files;
  for (auto& [time, file] : logs) files.push_back(std::move(file));
  return files;
}

void print_log(const std::string& prefix, const fs::path& file) {
  std::string text = read_file(file, 1u << 30);
  if (!text.empty() && !text.ends_with('\n')) text += '\n';
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find('\n', begin) + 1;
    print(prefix + text.substr(begin, end - begin));
    begin = end;
  }
}

void show_logs(const RunsOptions& options, Context& context) {
  executor::Journal journal(context.dirs().database());
  const executor::RunRecord run = journal.find(options.run);
  const dag::Plan plan = journal.plan(run.id);
  const executor::State state = state_of(journal, run.id, plan);
  if (!options.task.empty() && !plan.task(options.task))
    throw Error(ErrorKind::NotFound, "run " + run.id + " has no task " + options.task,
                "`kiln runs describe " + run.id + "` lists its tasks");
  for (size_t i = 0; i < plan.tasks.size(); ++i) {
    const std::string& name = plan.tasks[i].name;
    if (!options.task.empty() && name != options.task) continue;
    for (int attempt = 0; attempt <= state.tasks[i].attempt; ++attempt)
      for (const fs::path& file :
           step_logs(executor::log_file(context.dirs(), run.id, name, attempt, "x").parent_path()))
        print_log("[" + name + " : " + file.stem().string() + "] ", file);
  }
}

}  // namespace

void add_runs(CLI::App& app, Context& context) {
  CLI::App* verb = app.add_subcommand("runs", "Stored runs");
  verb->require_subcommand(1);
  auto options = std::make_shared<RunsOptions>();
  const auto named = [&](const char* name, const char* description) {
    CLI::App* sub = verb->add_subcommand(name, description);
    sub->add_option("run", options->run, "Run; default: the last");
    return sub;
  };
  CLI::App* lister = verb->add_subcommand("list", "List runs, newest first");
  lister->add_option("-o,--output", options->output, "json");
  lister->callback([options, &context] { list(*options, context); });
  CLI::App* describer = named("describe", "Show one run");
  describer->add_option("-o,--output", options->output, "json: the tekton.dev/v1 object");
  describer->callback([options, &context] { describe(*options, context); });
  CLI::App* again = named("rerun", "Run the same again: same documents, params and workspaces");
  again->add_option("-j,--jobs", options->rerun.jobs, "Tasks at once");
  again->add_flag("--allow-host", options->rerun.allow_host, "Allow `image: host`");
  again->callback([options, &context] { rerun(*options, context); });
  named("delete", "Delete a run, its logs and its folders")->callback([options, &context] {
    remove(*options, context);
  });
}

void add_logs(CLI::App& app, Context& context) {
  auto options = std::make_shared<RunsOptions>();
  CLI::App* verb = app.add_subcommand(
      "logs", "Print the logs of a run\n\n  kiln logs            of the last run\n  kiln logs RUN -t test\n");
  verb->add_option("run", options->run, "Run; default: the last");
  verb->add_option("-t,--task", options->task, "This task only");
  verb->callback([options, &context] { show_logs(*options, context); });
}

}  // namespace kiln::cli
