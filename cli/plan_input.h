#pragma once

#include <string>
#include <vector>

#include "cli/remote.h"
#include "dag/compile.h"

namespace CLI {
class App;
}

namespace kiln::cli {

// What run, lint and graph have in common: files to read, and what to run of them.
struct PlanInput {
  std::vector<std::string> files;
  std::vector<std::string> params;      // -p k=v
  std::vector<std::string> workspaces;  // -w name=SPEC
  std::string target;                   // --pipeline
  bool preview = false;                 // nothing will run: see dag::RunRequest
  RemoteOptions remote;
};
void add_plan_options(CLI::App& verb, PlanInput& input);

// Files as given, folders as their *.yaml, *.yml and *.json files in order of name; "-" is stdin.
dag::Documents load_documents(const std::vector<std::string>& paths, Diagnostics& diagnostics);

// Loads and compiles. Prints every diagnostic; throws (nothing to add) when there are errors: Invalid, or the
// kind of what kept a remote reference from being resolved.
dag::Plan compile_plan(const PlanInput& input, Context& context);

// Throws Invalid, after printing each place, when the plan holds what Kiln cannot run yet.
void refuse_unsupported(const dag::Plan& plan, const dag::Allowances& allowed = {});

}  // namespace kiln::cli
