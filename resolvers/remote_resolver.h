#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <stop_token>
#include <string>

#include "base/clock.h"
#include "base/error.h"
#include "base/http_client.h"
#include "dag/compile.h"
#include "registry/client.h"
#include "resolvers/document_cache.h"

namespace kiln::resolvers {

// What a reference turned out to mean.
struct Resolved {
  std::string text;
  std::string source;  // the same document for ever: "git+URL@COMMIT PATH", "REPOSITORY@DIGEST KIND/NAME", …
  bool cached = false;  // nothing was fetched (a branch, a tag or a version may have been asked for)
};

struct Options {
  std::filesystem::path cache;  // Dirs::cache; documents lie in resolved/ there, git mirrors in git/
  // Whether git may read repositories of this machine's disk. A document that came from elsewhere can hold
  // references too, and nothing tells them from those that the user wrote; so only the user can say yes.
  bool allow_local = false;
  Duration time_limit = std::chrono::minutes(1);  // of one reference; what Tekton gives it
  uint64_t document_limit = 1u << 20;
  std::string git_default_url;                // of a git reference without `url`; empty: it needs one
  std::string git_default_revision = "main";  // as Tekton is shipped
  std::string artifact_hub = "https://artifacthub.io";  // ARTIFACT_HUB_API
  std::string tekton_hub;                               // TEKTON_HUB_API; none is public any more
  HttpClient::Options http{};
  std::stop_token stop{};
  std::function<void(const dag::RemoteRef&, const Resolved&)> on_resolved{};
};

// The resolvers of Tekton that need the outside: bundles, git, http, hub ("cluster" means what is loaded and
// never comes here). Params, defaults and messages are Tekton's.
//
// Whatever has an immutable name (git commit, image digest, version in a hub, digest of an http document) is
// kept on disk under that name: a reference that is immutable itself needs no network the second time; a
// branch, a tag or a version constraint is asked for anew each time, and only what it means may be cached.
//
// fetch() throws kiln::Error: Invalid for params that are wrong and documents that are not what they should
// be, NotFound, Failed for denied access, Unavailable, TimedOut, Cancelled. A reference that failed fails the
// same way at once when it is asked for again. Not thread-safe.
class RemoteResolver final : public dag::Resolver {
 public:
  // The client must outlive this.
  RemoteResolver(registry::Client& registry, Options options);
  std::string fetch(const dag::RemoteRef& reference) override;

 private:
  std::string fetch_once(const dag::RemoteRef& reference);
  Resolved resolve(const dag::RemoteRef& reference, std::stop_token stop);

  registry::Client& registry_;
  const Options options_;
  const HttpClient http_;
  const DocumentCache cache_;
  std::map<std::string, Error> failures_;  // by key: a host that is silent is waited for once
};

}  // namespace kiln::resolvers
