#pragma once

#include <optional>
#include <stop_token>
#include <string>

#include "resolvers/params.h"
#include "resolvers/remote_resolver.h"

// Inside of resolvers/: one function per resolver of Tekton.
namespace kiln::resolvers {

struct Services {
  const Options& options;
  const HttpClient& http;
  registry::Client& registry;
  const DocumentCache& cache;
  std::stop_token stop;  // the user's and the time limit's

  // The document known under its immutable name, without any network.
  std::optional<Resolved> known(const std::string& source) const;
  // What was just fetched, kept under that name. Throws Invalid when it is empty, which is no document and
  // nothing to keep.
  Resolved keep(std::string text, const std::string& source) const;
};

Resolved resolve_git(const Services& services, const Params& params);
Resolved resolve_http(const Services& services, const Params& params);
Resolved resolve_bundle(const Services& services, const Params& params);
Resolved resolve_hub(const Services& services, const Params& params);

}  // namespace kiln::resolvers
