#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/context.h"
#include "cli/output.h"
#include "cli/plan_input.h"
#include "cli/terminal.h"
#include "cli/verbs.h"

namespace kiln::cli {
namespace {

const char* name_of(Severity severity) {
  return severity == Severity::Error ? "error" : severity == Severity::Warning ? "warning" : "note";
}

}  // namespace

void add_lint(CLI::App& app, Context& context) {
  struct Options {
    std::vector<std::string> files;
    bool strict = false, resolve = false;
    RemoteOptions remote;
    std::string output;
  };
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("lint",
                                      "Check Tekton files without running anything\n\n"
                                      "  kiln lint pipeline.yaml tasks/\n"
                                      "  kiln lint --resolve pipeline.yaml\n");
  verb->add_option("files", options->files, "Files or folders")->required();
  verb->add_flag("--strict", options->strict, "Warnings are errors");
  add_output_option(*verb, options->output);
  verb->add_flag("--resolve", options->resolve,
                 "Fetch what the files refer to by a resolver, and check it too; else nothing is fetched");
  add_remote_options(*verb, options->remote);
  verb->callback([options, &context] {
    Diagnostics found;
    const dag::Documents documents = load_documents(options->files, found);
    CommandResolver resolver(context, options->remote);
    Diagnostics diagnostics = dag::lint(documents, resolver, std::move(found), options->resolve);
    for (Diagnostic& diagnostic : diagnostics)
      if (options->strict && diagnostic.severity == Severity::Warning) diagnostic.severity = Severity::Error;
    if (options->output == "json") {
      nlohmann::json list = nlohmann::json::array();
      for (const Diagnostic& d : diagnostics)
        list.push_back({{"severity", name_of(d.severity)},
                        {"file", d.file},
                        {"line", d.at.line},
                        {"column", d.at.column},
                        {"message", d.message},
                        {"hint", d.hint}});
      print(json_text(list));
    } else {
      print(dag::render(diagnostics, documents.sources));
    }
    const auto errors = std::ranges::count(diagnostics, Severity::Error, &Diagnostic::severity);
    if (errors > 0) context.exit_code = exit_code(resolver.kind_of(static_cast<size_t>(errors)));
  });
}

}  // namespace kiln::cli
