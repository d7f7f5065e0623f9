#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <stop_token>

#include "executor/driver.h"
#include "steps/pod.h"

namespace CLI {
class App;
}

namespace kiln::cli {

class Context;

struct PipelineRunOptions {
  size_t jobs = 0;
  bool allow_host = false;
  bool json = false;              // the PipelineRun object on stdout instead of result lines
  std::string progress = "auto";  // make_run_printer
  std::string network = "host";
  executor::Reusable reuse;          // of an earlier run: see executor/rerun.h
  std::filesystem::path workspaces;  // its folder of workspaces
  bool allow_privileged = false;
  std::vector<std::string> host_paths;
  std::optional<std::stop_token> stop;  // ends the run in order; else the context's does
};

// The flags of a run that allow more than its sandboxes would.
void add_allowance_options(CLI::App& verb, PipelineRunOptions& options);

void add_jobs_option(CLI::App& verb, PipelineRunOptions& options);

void add_progress_option(CLI::App& verb, PipelineRunOptions& options);

// Runs a plan to its end on this machine, printing as it goes; sets the context's exit code. A plan that says
// it is pending is only stored.
void run_plan(Context& context, const dag::Plan& plan, const PipelineRunOptions& options);
// The same for a run that the journal has.
void run_stored(Context& context, executor::Journal& journal, const executor::RunRecord& run,
                const dag::Plan& plan, const PipelineRunOptions& options);

// Gives a new run, or one that waits for somebody, to the `kiln serve` of these folders, and prints its name.
// Throws Unavailable when none runs.
void detach_plan(Context& context, const dag::Plan& plan, const PipelineRunOptions& options);
void detach_stored(Context& context, executor::Journal& journal, const executor::RunRecord& run,
                   const PipelineRunOptions& options);

// Of what the steps of a run on this machine are made.
steps::LocalPods::Options pod_options(Context& context);
executor::RunOptions run_options(const PipelineRunOptions& options);

}  // namespace kiln::cli
