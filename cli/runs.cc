#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/fs.h"
#include "base/text.h"
#include "cli/context.h"
#include "cli/output.h"
#include "cli/pipeline_run.h"
#include "cli/run_documents.h"
#include "cli/stored_run.h"
#include "cli/task_run.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "cli/yaml_text.h"
#include "executor/control.h"
#include "executor/custom_task.h"
#include "executor/driver.h"
#include "executor/rerun.h"
#include "executor/run_lock.h"

namespace kiln::cli {
namespace {

using nlohmann::json;

struct RunsOptions {
  std::string run, output, task;
  PipelineRunOptions rerun;
  size_t limit = 100;
  bool from_failed = false, reject = false;
  std::string from, message, mode = "run-finally";
};

void list(const RunsOptions& options, Context& context) {
  executor::Journal journal(context.dirs().database());
  close_lost_runs(journal, context.dirs());
  json objects = json::array();
  std::vector<std::vector<std::string>> rows{{"RUN", "KIND", "NAME", "STARTED", "TOOK", "RESULT"}};
  std::vector<executor::RunRecord> runs = journal.list(options.limit == 0 ? journal.kAll : options.limit + 1);
  if (options.limit > 0 && runs.size() > options.limit) {
    runs.pop_back();
    say("the newest " + std::to_string(options.limit) + "; all: kiln runs list --limit 0");
  }
  for (const executor::RunRecord& run : runs) {
    rows.push_back({run.id, run.kind, run.name, format_rfc3339(run.created),
                    run.finished ? format_seconds(seconds(*run.finished - run.created)) : "-", run.reason});
    objects.push_back({{"run", run.id},
                       {"kind", run.kind},
                       {"name", run.name},
                       {"started", format_rfc3339(run.created)},
                       {"reason", run.reason},
                       {"message", run.message}});
  }
  print(options.output == "json"   ? json_text(objects)
        : options.output == "yaml" ? to_yaml(objects)
                                   : table(rows));
}

void add_rows(std::vector<std::vector<std::string>>& rows, const std::vector<dag::TaskOutcome>& tasks,
              const std::string& prefix) {
  for (const dag::TaskOutcome& task : tasks) {
    rows.push_back({prefix + task.label, task.state, task.took ? format_seconds(seconds(*task.took)) : "-",
                    task.reason});
    add_rows(rows, task.inside, prefix + task.label + "/");
  }
}

void describe(const RunsOptions& options, Context& context) {
  executor::Journal journal(context.dirs().database());
  close_lost_runs(journal, context.dirs());
  std::optional<StoredRun> found;
  try {
    found = load_run(journal, options.run);
  } catch (const Error& error) {
    const auto task_run =
        error.kind() == ErrorKind::NotFound ? find_task_run(journal, options.run) : std::nullopt;
    if (!task_run) throw;
    return print(options.output.empty() ? task_run_words(*task_run)
                                        : render_documents({*task_run}, options.output));
  }
  const StoredRun& stored = *found;
  const executor::RunRecord& run = stored.record;
  if (!options.output.empty()) return print(render_documents(run_documents(journal, stored), options.output));
  print("Run:     " + run.id + "\nRuns:    " + run.kind + " " + run.name + "\nResult:  " + run.reason +
        "\n         " + run.message + "\n\n");
  std::vector<std::vector<std::string>> rows{{"TASK", "STATE", "TOOK", "REASON"}};
  add_rows(rows, task_outcomes(journal, stored), "");
  print(table(rows));
}

void remove_run(executor::Journal& journal, const Dirs& dirs, const std::string& id) {
  for (const executor::RunRecord& child : journal.children(id)) remove_run(journal, dirs, child.id);
  remove_tree(dirs.runs() / id);
  journal.remove(id);
}

void remove(const RunsOptions& options, Context& context) {
  executor::Journal journal(context.dirs().database());
  close_lost_runs(journal, context.dirs());
  const executor::RunRecord run = journal.find(options.run);
  // Whatever its record says: a full disk may have kept its end out of the journal.
  const bool is_there = fs::exists(context.dirs().runs() / run.id / "lock");
  const UniqueFd lock = is_there ? executor::try_lock_run(context.dirs().runs() / run.id) : UniqueFd();
  if (!run.finished && !lock)
    throw Error(ErrorKind::Failed, "run " + run.id + " has not finished",
                "stop it first: kiln runs cancel " + run.id);
  remove_run(journal, context.dirs(), run.id);
  print("deleted " + run.id + "\n");
}

void rerun(const RunsOptions& options, Context& context) {
  executor::Journal journal(context.dirs().database());
  // Else the run that was just killed could not be gone on with: it has not ended yet.
  note_lost_runs(journal, context.dirs(), [](const std::string& text) { say("note: " + text); });
  const executor::RunRecord run = journal.find(options.run);
  const dag::Plan plan = journal.plan(run.id);
  PipelineRunOptions run_options = options.rerun;
  if (options.from_failed || !options.from.empty()) {
    if (!run.finished)
      throw Error(ErrorKind::Failed, "run " + run.id + " has not finished",
                  "cancel it first: kiln runs cancel " + run.id);
    run_options.reuse = executor::reusable(journal, plan, run, options.from);
    run_options.workspaces = context.dirs().runs() / run.id / "workspaces";
  }
  run_plan(context, plan, run_options);
}

void cancel(const RunsOptions& options, Context& context) {
  static const std::map<std::string, std::string> kModes{
      {"run-finally", "CancelledRunFinally"}, {"stop", "StoppedRunFinally"}, {"now", "Cancelled"}};
  const auto mode = kModes.find(options.mode);
  if (mode == kModes.end())
    throw Error(ErrorKind::Usage, "there is no mode \"" + options.mode + "\"",
                "--mode run-finally, stop or now");
  executor::Journal journal(context.dirs().database());
  close_lost_runs(journal, context.dirs());
  const executor::RunRecord run = journal.find(options.run);
  if (run.finished) throw Error(ErrorKind::Failed, "run " + run.id + " has ended already");
  if (run.owner == executor::Owner::Nobody) {
    executor::end_pending_run(journal, context.dirs().runs(), run, system_clock().now());
    return print("cancelled " + run.id + "\n");
  }
  executor::request_cancel(context.dirs().runs() / run.id, mode->second,
                           run.owner == executor::Owner::Server);
  print("asked " + run.id + " to end\n");
}

// Approvals that wait in a run and in the pipelines inside it: where, and what to call them.
void find_approvals(const executor::Journal& journal, const Dirs& dirs, const std::string& run,
                    const std::string& prefix, std::vector<std::pair<std::string, fs::path>>& out) {
  for (const fs::path& approval : executor::waiting_approvals(dirs.runs() / run))
    out.emplace_back(prefix + approval.filename().string(), approval);
  for (const auto& [label, child] : children_of(journal, run))
    find_approvals(journal, dirs, child.id, prefix + label + "/", out);
}

void approve(const RunsOptions& options, Context& context) {
  const executor::Journal journal(context.dirs().database());
  const executor::RunRecord run = journal.find(options.run);
  std::vector<std::pair<std::string, fs::path>> waiting;
  find_approvals(journal, context.dirs(), run.id, "", waiting);
  if (!options.task.empty())
    std::erase_if(waiting, [&](const auto& one) { return one.first != options.task; });
  if (waiting.empty())
    throw Error(ErrorKind::NotFound, "run " + run.id + " waits for no approval" +
                                         (options.task.empty() ? "" : " at " + options.task));
  if (waiting.size() > 1) {
    std::vector<std::string> names;
    for (const auto& [name, path] : waiting) names.push_back(name);
    throw Error(ErrorKind::Usage, "several approvals wait: " + join(names, ", "),
                "name one: -t " + names.front());
  }
  const char* user = std::getenv("USER");
  executor::decide(waiting.front().second,
                   {!options.reject, user && *user ? user : "somebody", options.message});
  print((options.reject ? "rejected " : "approved ") + waiting.front().first + " of " + run.id + "\n");
}

}  // namespace

void add_runs(CLI::App& app, Context& context) {
  CLI::App* verb = app.add_subcommand("runs",
                                      "Stored runs\n\n"
                                      "  kiln runs list\n"
                                      "  kiln runs describe                 the last one\n"
                                      "  kiln runs rerun --from-failed\n");
  verb->require_subcommand(1);
  auto options = std::make_shared<RunsOptions>();
  const auto named = [&](const char* name, const char* description) {
    CLI::App* sub = verb->add_subcommand(name, description);
    sub->add_option("run", options->run, "Run; default: the last");
    return sub;
  };
  CLI::App* lister = verb->add_subcommand("list", "List runs, newest first");
  add_output_option(*lister, options->output, {"json", "yaml"});
  lister->add_option("--limit", options->limit, "At most so many; 0: all")->capture_default_str();
  lister->callback([options, &context] { list(*options, context); });
  CLI::App* describer = named("describe", "Show one run, or a TaskRun of it by its name");
  add_output_option(*describer, options->output, {"json", "yaml"}, "yaml or json: the tekton.dev/v1 objects");
  describer->callback([options, &context] { describe(*options, context); });
  CLI::App* again = named("rerun", "Run the same again: same documents, params and workspaces");
  add_jobs_option(*again, options->rerun);
  add_allowance_options(*again, options->rerun);
  add_progress_option(*again, options->rerun);
  CLI::Option* failed = again->add_flag("--from-failed", options->from_failed,
                                        "Only what did not succeed, and what comes after it");
  again->add_option("--from", options->from, "Only this task and what comes after it")->excludes(failed);
  again->callback([options, &context] { rerun(*options, context); });
  add_runs_start(*verb, context);
  add_explain(*verb, context);
  CLI::App* canceller = named("cancel", "End a run that goes on, in whatever terminal it is");
  canceller->add_option("--mode", options->mode, "run-finally, stop (let running tasks end) or now")
      ->capture_default_str();
  canceller->callback([options, &context] { cancel(*options, context); });
  CLI::App* approver = named("approve", "Let a task of kind Approval go on");
  approver->add_option("-t,--task", options->task, "Which, when several wait");
  approver->add_flag("--reject", options->reject, "Fail it instead");
  approver->add_option("-m,--message", options->message, "Why");
  approver->callback([options, &context] { approve(*options, context); });
  named("delete", "Delete a run, its logs and its folders")->callback([options, &context] {
    remove(*options, context);
  });
}

}  // namespace kiln::cli
