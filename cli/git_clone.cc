#include <CLI/CLI.hpp>
#include <cstdlib>
#include <memory>

#include "base/error.h"
#include "base/fs.h"
#include "base/git.h"
#include "base/text.h"
#include "cli/context.h"
#include "cli/terminal.h"
#include "cli/verbs.h"

namespace kiln::cli {

namespace {

struct Options {
  std::string url, revision, folder, commit_file, url_file;
  std::string refspec, submodules, ssl_verify, http_proxy, https_proxy, no_proxy;  // of git PipelineResources
  std::string from;
  bool optional = false;
};

// The words that Tekton's git resources took for false and true; anything else means what is usual.
bool flag(const std::string& word, bool fallback) {
  return word == "true" || (word != "false" && fallback);
}

void use_proxies(const Options& options) {
  const auto set = [](const char* variable, const std::string& value) {
    if (!value.empty()) ::setenv(variable, value.c_str(), 1);
  };
  set("http_proxy", options.http_proxy);
  set("HTTP_PROXY", options.http_proxy);
  set("https_proxy", options.https_proxy);
  set("HTTPS_PROXY", options.https_proxy);
  set("no_proxy", options.no_proxy);
  set("NO_PROXY", options.no_proxy);
}

void copy_folder(const fs::path& from, const fs::path& to) {
  if (!fs::is_directory(from))
    throw Error(ErrorKind::NotFound, "there is no folder " + from.string(),
                "did the task that fills it run?");
  make_dirs(to);
  fs::copy(from, to, fs::copy_options::recursive | fs::copy_options::copy_symlinks);
}

}  // namespace

void add_git_clone(CLI::App& app, Context& context) {
  auto options = std::make_shared<Options>();
  CLI::App* verb =
      app.add_subcommand("git-clone",
                         "Check a git repository out, through a local mirror\n\n"
                         "  kiln git-clone --url https://example.org/app.git --revision main ./app\n");
  verb->add_option("--url", options->url, "Repository");
  verb->add_option("--revision", options->revision, "Branch, tag or commit; the default branch when empty");
  verb->add_option("--commit-file", options->commit_file, "Write the commit's id here (a Tekton result)");
  verb->add_option("--url-file", options->url_file, "Write the URL here (a Tekton result)");
  verb->add_option("--refspec", options->refspec, "Fetch these, too, besides branches and tags");
  verb->add_option("--submodules", options->submodules, "true: fetch submodules, and theirs");
  verb->add_option("--ssl-verify", options->ssl_verify, "false: trust any certificate");
  verb->add_option("--http-proxy", options->http_proxy, "Instead of the machine's own");
  verb->add_option("--https-proxy", options->https_proxy, "Instead of the machine's own");
  verb->add_option("--no-proxy", options->no_proxy, "Instead of the machine's own");
  verb->add_option("--from", options->from, "Copy this folder and fetch nothing, unless it is empty text");
  verb->add_flag("--optional", options->optional, "Without a --url there is nothing to do");
  verb->add_option("folder", options->folder, "Where to; missing or empty")->required();
  verb->callback([options, &context] {
    if (!options->from.empty()) {
      copy_folder(options->from, options->folder);
      say("copied from " + options->from);
      return;
    }
    if (options->url.empty() && options->optional) {
      say("no repository is given");
      return;
    }
    use_proxies(*options);
    std::vector<std::string> refspecs;
    for (const std::string& spec : split(options->refspec, ' '))
      if (!spec.empty()) refspecs.push_back(spec);
    const std::string commit = git_checkout({.url = options->url,
                                             .revision = options->revision,
                                             .destination = options->folder,
                                             .cache = context.dirs().cache,
                                             .refspecs = std::move(refspecs),
                                             .submodules = flag(options->submodules, false),
                                             .verify_tls = flag(options->ssl_verify, true)},
                                            context.stop());
    if (!options->commit_file.empty()) write_file(options->commit_file, commit);
    if (!options->url_file.empty()) write_file(options->url_file, without_password(options->url));
    say("checked out " + commit.substr(0, 12) +
        (options->revision.empty() ? "" : " (" + options->revision + ")"));
  });
}

}  // namespace kiln::cli
