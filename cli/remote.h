#pragma once

#include <optional>
#include <string>

#include "base/error.h"
#include "resolvers/remote_resolver.h"

namespace CLI {
class App;
}

namespace kiln::cli {

class Context;

// How references to what is not loaded are resolved: `taskRef: {resolver: git, params: […]}`.
struct RemoteOptions {
  bool allow_local = false;
  std::string git_url, git_revision;
  std::string artifact_hub, tekton_hub;
};
void add_remote_options(CLI::App& verb, RemoteOptions& options);

// Resolves them, and says to stderr what each turned out to be. Used while `context` lives.
class CommandResolver final : public dag::Resolver {
 public:
  CommandResolver(Context& context, RemoteOptions options)
      : context_(context), options_(std::move(options)) {}
  std::string fetch(const dag::RemoteRef& reference) override;
  // The kind of the first failure that was the world's (a host that is down) rather than the document's.
  std::optional<ErrorKind> world_failure() const { return world_failure_; }

 private:
  Context& context_;
  const RemoteOptions options_;
  std::optional<resolvers::RemoteResolver> resolver_;  // made for the first reference: most files have none
  std::optional<ErrorKind> world_failure_;
};

}  // namespace kiln::cli
