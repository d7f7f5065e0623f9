#pragma once

#include <optional>
#include <string>
#include <vector>

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
  // What a command with so many errors ends with: Invalid, unless all of them are references that the world
  // (a host that is down) kept from being resolved.
  ErrorKind kind_of(size_t errors) const;

 private:
  Context& context_;
  const RemoteOptions options_;
  std::optional<resolvers::RemoteResolver> resolver_;  // made for the first reference: most files have none
  std::vector<ErrorKind> world_failures_;
};

}  // namespace kiln::cli
