#include <CLI/CLI.hpp>
#include <memory>

#include "base/error.h"
#include "base/fs.h"
#include "cli/context.h"
#include "cli/pipeline_run.h"
#include "cli/plan_input.h"
#include "cli/verbs.h"
#include "executor/options_json.h"

namespace kiln::cli {
namespace {

struct Options {
  std::string run;
  bool detach = false;
};

// The newest that is pending.
executor::RunRecord newest_pending(const executor::Journal& journal) {
  executor::RunRecord newest;
  for (executor::RunRecord& run : journal.unfinished())
    if (run.owner == executor::Owner::Nobody) newest = std::move(run);
  if (newest.id.empty()) throw Error(ErrorKind::NotFound, "no run is pending", "kiln runs list shows them");
  return newest;
}

PipelineRunOptions stored_options(const executor::Journal& journal, const std::string& run) {
  const executor::RunOptions stored = executor::options_from(journal.options(run));
  PipelineRunOptions out;
  out.jobs = stored.jobs;
  out.allow_host = stored.allow_host_image;
  out.allow_privileged = stored.allow_privileged;
  out.network = to_string(stored.network);
  for (const fs::path& path : stored.host_paths) out.host_paths.push_back(path.string());
  return out;
}

void start(const Options& options, Context& context) {
  executor::Journal journal(context.dirs().database());
  const executor::RunRecord run = options.run.empty() ? newest_pending(journal) : journal.find(options.run);
  if (run.finished)
    throw Error(ErrorKind::Failed, "run " + run.id + " has ended", "kiln runs rerun " + run.id);
  if (run.owner != executor::Owner::Nobody)
    throw Error(ErrorKind::Failed, "run " + run.id + " has been started already",
                "kiln runs describe " + run.id + " shows how far it is");
  const PipelineRunOptions given = stored_options(journal, run.id);
  if (options.detach) return detach_stored(context, journal, run, given);
  run_stored(context, journal, run, journal.plan(run.id), given);
}

}  // namespace

void add_runs_start(CLI::App& runs, Context& context) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = runs.add_subcommand("start", "Start a run that is pending, with the flags it was given");
  verb->add_option("run", options->run, "Run; default: the newest that is pending");
  verb->add_flag("-d,--detach", options->detach, "Give it to the running `kiln serve` and return");
  verb->callback([options, &context] { start(*options, context); });
}

}  // namespace kiln::cli
