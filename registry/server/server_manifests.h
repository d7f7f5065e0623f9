#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "registry/server/server.h"
#include "registry/server/server_caller.h"
#include "registry/server/server_route.h"
#include "registry/store/repository_blobs.h"

// Inside of registry/server/server.cc: manifests, tags and referrers over the store's index. Plain functions
// that block on small files; thread-safe.
namespace kiln::registry::detail {

class ManifestEndpoints {
 public:
  ManifestEndpoints(Store& store, const RegistryServer::Options& options, RepositoryBlobs& blobs)
      : store_(store), options_(options), blobs_(blobs) {}

  // `head` and what the client has already ("" or an If-None-Match) tell a look from a pull.
  Answer get(const Route& route, const Caller& caller, bool head, std::string_view if_none_match) const;
  Answer put(const Route& route, const Caller& caller, std::string_view content_type,
             const std::vector<std::string>& extra_tags, const std::string& bytes) const;
  Answer remove(const Route& route, const Caller& caller) const;
  Answer tags(const Route& route, const std::optional<std::string>& n,
              const std::optional<std::string>& last) const;
  Answer catalog(const Caller& caller, const std::optional<std::string>& n,
                 const std::optional<std::string>& last) const;
  // One page, with a Link to those after it.
  Answer referrers(const Route& route, const std::optional<std::string>& artifact_type,
                   const std::optional<std::string>& last) const;
  Answer remove_blob(const Route& route, const Caller& caller) const;
  // There, shown in the repository, and here to stay for a while.
  bool has_blob(const std::string& repository, const Digest& blob) const;

 private:
  bool is_immutable(const Route& route, const std::string& tag) const;
  bool needs(const Descriptor& entry, const Digest& blob) const;

  Store& store_;
  const RegistryServer::Options& options_;
  RepositoryBlobs& blobs_;
};

}  // namespace kiln::registry::detail
