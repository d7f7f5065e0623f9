#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"
#include "cli/context.h"
#include "cli/output.h"
#include "cli/pipeline_run.h"
#include "cli/plan_input.h"
#include "cli/preview.h"
#include "cli/run_printer.h"
#include "cli/run_summary.h"
#include "cli/run_watch.h"
#include "cli/stored_run.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "executor/options_json.h"
#include "executor/report.h"
#include "executor/run_lock.h"
#include "registry/images.h"

namespace kiln::cli {
namespace {

// How `image: kiln` steps find the same folders and server as this process.
std::vector<std::string> step_environment(Context& context) {
  const Dirs& dirs = context.dirs();
  std::vector<std::string> env{"KILN_SERVER=" + context.server_url(), "KILN_SANDBOX=" + context.sandbox};
  if (!context.root.empty()) {
    env.push_back("KILN_ROOT=" + fs::absolute(context.root).lexically_normal().string());
  } else {
    env.push_back("XDG_DATA_HOME=" + dirs.data.parent_path().string());
    env.push_back("XDG_STATE_HOME=" + dirs.state.parent_path().string());
    env.push_back("XDG_CACHE_HOME=" + dirs.cache.parent_path().string());
    env.push_back("XDG_CONFIG_HOME=" + dirs.config.parent_path().string());
  }
  return env;
}

steps::Network network_of(const PipelineRunOptions& options) {
  if (const auto network = steps::network_named(options.network)) return *network;
  throw Error(ErrorKind::Usage, "there is no network \"" + options.network + "\"",
              "--network host, private or none");
}

void keep_pending(executor::Journal& journal, const dag::Plan& plan, const PipelineRunOptions& options) {
  const executor::RunRecord run =
      journal.create(plan, system_clock().now(),
                     {.owner = executor::Owner::Nobody, .options = executor::to_text(run_options(options))});
  const std::string object = plan.kind == dag::Plan::Kind::Pipeline ? "PipelineRun" : "TaskRun";
  journal.set_waiting(run.id, plan.status, object + " \"" + run.id + "\" is pending");
  say("run " + run.id + " is pending; start it: kiln runs start " + run.id);
  print(run.id + "\n");
}

}  // namespace

steps::LocalPods::Options pod_options(Context& context) {
  const Dirs& dirs = context.dirs();
  return {.kiln_binary = "/proc/self/exe",
          .kiln_dirs = {dirs.data, dirs.state, dirs.cache, dirs.runtime},
          .inherited_env = step_environment(context)};
}

executor::RunOptions run_options(const PipelineRunOptions& options) {
  return {.jobs = options.jobs,
          .stop = {},
          .kill = {},
          .allow_host_image = options.allow_host,
          .network = network_of(options),
          .reuse = options.reuse,
          .workspaces = options.workspaces,
          .allow_privileged = options.allow_privileged,
          .host_paths = {options.host_paths.begin(), options.host_paths.end()}};
}

void run_plan(Context& context, const dag::Plan& plan, const PipelineRunOptions& options) {
  const Dirs& dirs = context.dirs();
  executor::Journal journal(dirs.database());
  if (executor::is_pending(plan)) return keep_pending(journal, plan, options);
  const std::string allowed = executor::to_text(run_options(options));  // for `kiln shell`
  run_stored(context, journal, journal.create(plan, system_clock().now(), {.options = allowed}), plan,
             options);
}

void run_stored(Context& context, executor::Journal& journal, const executor::RunRecord& run,
                const dag::Plan& plan, const PipelineRunOptions& options) {
  const Dirs& dirs = context.dirs();
  const std::unique_ptr<RunPrinter> printer = make_run_printer(options.progress);
  const OnExit give_terminal_back([&] { printer->close(); });
  note_lost_runs(journal, dirs, [&](const std::string& text) { printer->note(text); });
  steps::LocalPods pods(context.runtime(), context.images(), pod_options(context));
  executor::LocalPodRunner runner(pods);
  executor::Driver driver(journal, runner, dirs);
  executor::RunOptions given = run_options(options);
  given.stop = options.stop.value_or(context.stop());
  given.kill = context.kill();
  const executor::RunEnd end = [&] {
    const std::stop_callback on_interrupt(context.stop(), [&] {
      printer->note(std::string(plan.dag_size < plan.tasks.size() ? "cancelling; finally tasks still run"
                                                                  : "cancelling") +
                    "; Ctrl-C again kills");
    });
    return driver.resume(run, plan, *printer, given);
  }();
  printer->close();
  if (printer->wants_summary() && (options.progress != "quiet" || !end.state.succeeded()))
    print_summary(end, plan, journal, dirs, printer->cached());
  if (options.json)
    print(json_text(executor::describe(end.run, plan, end.state)));
  else
    print_results(end, plan);
  context.exit_code = end.exit_code();
}

void add_allowance_options(CLI::App& verb, PipelineRunOptions& options) {
  verb.add_flag("--allow-host", options.allow_host,
                "Allow `image: host`: steps on this machine's own root, read-only");
  verb.add_option("--allow-host-path", options.host_paths,
                  "Allow hostPath volumes of this folder and what is below; repeat for more")
      ->allow_extra_args(false);
  verb.add_flag("--allow-privileged", options.allow_privileged,
                "Allow privileged steps, and capabilities that a sandbox does not give");
}

void add_jobs_option(CLI::App& verb, PipelineRunOptions& options) {
  verb.add_option("-j,--jobs", options.jobs, "Tasks at once; default: one per CPU")
      ->check([](const std::string& text) {
        const bool number = !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
        return number ? std::string() : text + " is no number of tasks";
      });
}

void add_progress_option(CLI::App& verb, PipelineRunOptions& options) {
  verb.add_option("--progress", options.progress,
                  "How to tell of it: auto, tty (live list), plain (lines), json (events on stderr) or quiet")
      ->check(CLI::IsMember({"auto", "tty", "plain", "json", "quiet"}))
      ->capture_default_str();
}

void add_run(CLI::App& app, Context& context) {
  struct Options {
    PlanInput input;
    PipelineRunOptions run;
    bool dry_run = false, detach = false, watch = false;
    std::string output;
  };
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("run",
                                      "Compile and run a pipeline or a task\n\n"
                                      "  kiln run pipeline.yaml -p url=https://example.org/app.git\n"
                                      "  kiln run pipeline.yaml -w source=.\n");
  add_plan_options(*verb, options->input);
  verb->add_flag("-n,--dry-run", options->dry_run, "Show what would run");
  verb->add_flag("--watch", options->watch,
                 "Run again whenever a document or a file of a -w NAME=DIR workspace changes");
  add_jobs_option(*verb, options->run);
  add_allowance_options(*verb, options->run);
  verb->add_option("--network", options->run.network, "Network of steps: host, private or none")
      ->capture_default_str();
  add_progress_option(*verb, options->run);
  CLI::Option* detach = verb->add_flag("-d,--detach", options->detach,
                                       "Give the run to the running `kiln serve`, print its name and return");
  add_output_option(*verb, options->output, {"json"}, "json: the PipelineRun with its status on stdout")
      .excludes(detach);
  verb->callback([options, &context] {
    options->run.json = options->output == "json";
    options->input.preview = options->dry_run;
    const dag::Allowances allowed{options->run.allow_privileged, !options->run.host_paths.empty()};
    if (options->watch && !options->dry_run)
      return run_and_watch(context, options->input, options->run, allowed);
    const dag::Plan plan = compile_plan(options->input, context);
    if (options->dry_run) return print(preview(plan));
    refuse_unsupported(plan, allowed);
    if (options->detach && !executor::is_pending(plan)) return detach_plan(context, plan, options->run);
    run_plan(context, plan, options->run);
  });
}

}  // namespace kiln::cli
