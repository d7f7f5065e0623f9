#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "registry/server.h"
#include "registry/server_caller.h"
#include "registry/server_route.h"

// Inside of registry/server.cc: manifests, tags and referrers over the store's index. Plain functions that
// block on small files; thread-safe.
namespace kiln::registry::detail {

class ManifestEndpoints {
 public:
  ManifestEndpoints(Store& store, const RegistryServer::Options& options)
      : store_(store), options_(options) {}

  Answer get(const Route& route, const Caller& caller) const;
  Answer put(const Route& route, const Caller& caller, std::string_view content_type,
             const std::vector<std::string>& extra_tags, const std::string& bytes) const;
  Answer remove(const Route& route, const Caller& caller) const;
  Answer tags(const Route& route, const std::optional<std::string>& n,
              const std::optional<std::string>& last) const;
  Answer catalog(const std::optional<std::string>& n, const std::optional<std::string>& last) const;
  Answer referrers(const Route& route, const std::optional<std::string>& artifact_type) const;
  Answer remove_blob(const Digest& digest) const;

 private:
  Store& store_;
  const RegistryServer::Options& options_;
};

}  // namespace kiln::registry::detail
