#include <CLI/CLI.hpp>
#include <unistd.h>

#include "base/process.h"
#include "cli/context.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "registry/store/store.h"
#include "steps/sandbox.h"

namespace kiln::cli {
namespace {

void report(bool good, const std::string& what, const std::string& detail) {
  print((good ? "ok    " : "NO    ") + what + (detail.empty() ? "" : ": " + detail) + "\n");
}

std::string_view package_of(std::string_view program) {
  if (program == "newuidmap") return "uidmap";
  return program == "pasta" ? "passt" : program;
}

}  // namespace

void add_doctor(CLI::App& app, Context& context) {
  app.add_subcommand("doctor", "Show what this machine can do, and why not")->callback([&context] {
    const std::string problem = steps::sandbox_problem();
    report(problem.empty(), "sandboxes",
           problem.empty() ? (::geteuid() == 0 ? "as root" : "rootless") : problem);
    for (const auto& [program, use] : {std::pair{"mmdebstrap", "`kiln stack create`"},
                                       {"newuidmap", "rootless images with several users"},
                                       {"pasta", "a way out of --network private"},
                                       {"runc", "--sandbox=runc"},
                                       {"crun", "--sandbox=crun"}}) {
      const auto path = find_program(program);
      report(path.has_value(), std::string(program) + " (for " + use + ")",
             path ? path->string() : "not installed: apt-get install " + std::string(package_of(program)));
    }
    const bool stack = context.store().resolve("kiln/build:latest").has_value();
    report(stack, "base images", stack ? "kiln/build and its run images" : "not made yet: kiln stack create");
    report(true, "store", context.dirs().store().string());
    if (!problem.empty()) context.exit_code = 3;
  });
}

}  // namespace kiln::cli
