#pragma once

#include <algorithm>
#include <memory>
#include <optional>

#include "base/http_server.h"
#include "registry/server/lazy_pool.h"
#include "registry/server/registry_metrics.h"
#include "registry/server/server.h"
#include "registry/server/server_caller.h"
#include "registry/server/server_route.h"
#include "registry/server/upload_sessions.h"
#include "registry/store/repository_blobs.h"

// Inside of registry/server/server.cc: blob uploads. Thread-safe; each upload takes one request at a time.
namespace kiln::registry::detail {

inline constexpr size_t kOwners = 8;  // who can use up all uploads together only: users, or addresses

class UploadEndpoints {
 public:
  UploadEndpoints(Store& store, const RegistryServer::Options& options, RepositoryBlobs& blobs,
                  RegistryMetrics& metrics, LazyPool& writers)
      : store_(store),
        options_(options),
        blobs_(blobs),
        metrics_(metrics),
        writers_(writers),
        sessions_(store, {options.upload_expiry, options.upload_limit, options.clock,
                          std::max<size_t>(1, options.upload_limit / kOwners), options.hooks}) {}

  Awaitable<Answer> begin(HttpExchange& exchange, const Route& route, const Caller& caller);   // POST
  Awaitable<Answer> append(HttpExchange& exchange, const Route& route, const Caller& caller);  // PATCH
  Awaitable<Answer> finish(HttpExchange& exchange, const Route& route, const Caller& caller);  // PUT
  Awaitable<Answer> status(const Route& route, const Caller& caller);                          // GET
  Awaitable<Answer> cancel(const Route& route, const Caller& caller);                          // DELETE

 private:
  Awaitable<std::shared_ptr<Upload>> find(const Route& route, const Caller& caller);
  // Makes a blob that is here, and that the caller may read, belong to the repository. nullopt: it is not.
  std::optional<Answer> mount(const Route& route, const Caller& caller, const Digest& digest,
                              const std::optional<std::string>& from);
  Descriptor descriptor_of(const Digest& digest) const;
  Awaitable<void> receive(HttpExchange& exchange, Upload& upload);
  static Answer located(int status, const Upload& upload);
  // The 416 for a chunk whose Content-Range does not continue what is there; the session stays usable.
  static std::optional<Answer> out_of_order(const HttpExchange& exchange, const Upload& upload);
  Awaitable<Answer> commit(const Route& route, const Caller& caller, Upload& upload, const Digest& digest);

  Store& store_;
  const RegistryServer::Options& options_;
  RepositoryBlobs& blobs_;
  RegistryMetrics& metrics_;
  LazyPool& writers_;  // wait for the disk
  UploadSessions sessions_;
};

}  // namespace kiln::registry::detail
