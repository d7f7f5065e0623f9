#include "builders/stack.h"

#include <CLI/CLI.hpp>
#include <memory>

#include "cli/context.h"
#include "cli/terminal.h"
#include "cli/verbs.h"

namespace kiln::cli {

void add_stack(CLI::App& app, Context& context) {
  CLI::App* verb = app.add_subcommand("stack",
                                      "Base images from Debian packages\n\n"
                                      "  kiln stack create\n");
  verb->require_subcommand(1);
  auto request = std::make_shared<builders::StackRequest>();
  CLI::App* create =
      verb->add_subcommand("create",
                           "Make kiln/build, kiln/run, kiln/run-node and kiln/run-python with mmdebstrap\n\n"
                           "  kiln stack create            does nothing when they are there\n"
                           "  kiln stack create --update   again, with today's package versions\n");
  create->add_flag("--update", request->update, "Make them again even when they are there");
  create->add_option("--suite", request->suite, "Debian suite")->capture_default_str();
  create->add_option("--mirror", request->mirror, "Debian mirror; default: mmdebstrap's own choice");
  create->callback([request, &context] {
    const auto images = builders::create_stack(
        context.store(), context.dirs().cache, *request, [](std::string_view line) { say(line); },
        context.stop());
    std::vector<std::vector<std::string>> rows;
    for (const auto& image : images)
      rows.push_back({image.name, image.manifest.digest.text(), image.cached ? "CACHED" : "created"});
    print(table(rows));
  });
}

}  // namespace kiln::cli
