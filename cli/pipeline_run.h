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

void add_progress_option(CLI::App& verb, PipelineRunOptions& options);

// Runs a plan to its end on this machine, printing as it goes; sets the context's exit code.
void run_plan(Context& context, const dag::Plan& plan, const PipelineRunOptions& options);

}  // namespace kiln::cli
