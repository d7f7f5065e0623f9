#include "cli/remote.h"

#include <CLI/CLI.hpp>
#include <cstdlib>

#include "base/fs.h"
#include "cli/context.h"
#include "cli/terminal.h"

namespace kiln::cli {
namespace {

// `given`, else the variable that configures Tekton's own resolver, else what the default is.
std::string hub_api(const std::string& given, const char* variable, const std::string& otherwise) {
  if (!given.empty()) return given;
  const char* value = std::getenv(variable);
  return value && *value ? value : otherwise;
}

resolvers::Options options_for(Context& context, const RemoteOptions& given) {
  resolvers::Options options;
  options.cache = context.dirs().cache;
  options.allow_local = given.allow_local;
  options.git_default_url = given.git_url;
  options.git_default_revision = given.git_revision;
  options.artifact_hub = hub_api(given.artifact_hub, "ARTIFACT_HUB_API", options.artifact_hub);
  options.tekton_hub = hub_api(given.tekton_hub, "TEKTON_HUB_API", options.tekton_hub);
  options.stop = context.stop();
  options.on_resolved = [](const dag::RemoteRef& reference, const resolvers::Resolved& resolved) {
    say("resolved " + reference.kind + " " + resolved.source + (resolved.cached ? "  CACHED" : ""));
  };
  return options;
}

}  // namespace

void add_remote_options(CLI::App& verb, RemoteOptions& options) {
  const char* group = "Remote references";
  verb.add_flag("--allow-local", options.allow_local,
                "Let git references read repositories of this machine (file://, /path)")
      ->group(group);
  verb.add_option("--git-default-url", options.git_url, "Of git references without `url`")->group(group);
  verb.add_option("--git-default-revision", options.git_revision, "Of git references without `revision`")
      ->default_val(resolvers::Options().git_default_revision)
      ->group(group);
  verb.add_option("--artifact-hub-api", options.artifact_hub, "URL of an Artifact Hub")->group(group);
  verb.add_option("--tekton-hub-api", options.tekton_hub, "URL of a Tekton Hub")->group(group);
}

std::string CommandResolver::fetch(const dag::RemoteRef& reference) {
  // Only while something is fetched does anybody look whether the command should end.
  (void)context_.stop();
  const OnExit fetched([this] { context_.end_at_once(); });
  try {
    if (!resolver_) resolver_.emplace(context_.client(), options_for(context_, options_));
    return resolver_->fetch(reference);
  } catch (const Error& error) {
    const bool of_the_world = error.kind() == ErrorKind::Unavailable ||
                              error.kind() == ErrorKind::Infrastructure ||
                              error.kind() == ErrorKind::TimedOut || error.kind() == ErrorKind::Cancelled;
    if (of_the_world) world_failures_.push_back(error.kind());
    throw;
  }
}

ErrorKind CommandResolver::kind_of(size_t errors) const {
  return world_failures_.empty() || world_failures_.size() < errors ? ErrorKind::Invalid
                                                                    : world_failures_.front();
}

}  // namespace kiln::cli
