#include <CLI/CLI.hpp>
#include <memory>

#include "base/fs.h"
#include "base/git.h"
#include "base/text.h"
#include "cli/context.h"
#include "cli/terminal.h"
#include "cli/verbs.h"

namespace kiln::cli {

void add_git_clone(CLI::App& app, Context& context) {
  struct Options {
    std::string url, revision, folder, commit_file, url_file;
  };
  auto options = std::make_shared<Options>();
  CLI::App* verb =
      app.add_subcommand("git-clone",
                         "Check a git repository out, through a local mirror\n\n"
                         "  kiln git-clone --url https://example.org/app.git --revision main ./app\n");
  verb->add_option("--url", options->url, "Repository")->required();
  verb->add_option("--revision", options->revision, "Branch, tag or commit; the default branch when empty");
  verb->add_option("--commit-file", options->commit_file, "Write the commit's id here (a Tekton result)");
  verb->add_option("--url-file", options->url_file, "Write the URL here (a Tekton result)");
  verb->add_option("folder", options->folder, "Where to; missing or empty")->required();
  verb->callback([options, &context] {
    const GitCommit commit = git_checkout({.url = options->url,
                                           .revision = options->revision,
                                           .destination = options->folder,
                                           .cache = context.dirs().cache},
                                          context.stop());
    if (!options->commit_file.empty()) write_file(options->commit_file, commit.id);
    if (!options->url_file.empty()) write_file(options->url_file, options->url);
    say("checked out " + commit.id.substr(0, 12) +
        (options->revision.empty() ? "" : " (" + options->revision + ")"));
  });
}

}  // namespace kiln::cli
