#include <CLI/CLI.hpp>

#include "cli/context.h"
#include "cli/terminal.h"
#include "cli/verbs.h"

namespace kiln::cli {

void add_version(CLI::App& app, Context&) {
  app.add_subcommand("version", "Print the version")->callback([] { print("kiln " KILN_VERSION "\n"); });
}

}  // namespace kiln::cli
