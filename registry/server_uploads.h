#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "base/http_server.h"
#include "registry/server.h"
#include "registry/server_caller.h"
#include "registry/server_route.h"
#include "registry/store.h"

// Inside of registry/server.cc: blob uploads. Thread-safe; each upload takes one request at a time.
namespace kiln::registry::detail {

class UploadEndpoints {
 public:
  UploadEndpoints(Store& store, const RegistryServer::Options& options) : store_(store), options_(options) {}

  Awaitable<Answer> begin(HttpExchange& exchange, const Route& route, const Caller& caller);   // POST
  Awaitable<Answer> append(HttpExchange& exchange, const Route& route);                        // PATCH
  Awaitable<Answer> finish(HttpExchange& exchange, const Route& route, const Caller& caller);  // PUT
  Answer status(const Route& route);                                                           // GET
  Answer cancel(const Route& route);                                                           // DELETE

 private:
  struct Upload {
    Upload(std::string name, std::string repository_name, BlobWriter blob_writer)
        : id(std::move(name)), repository(std::move(repository_name)), writer(std::move(blob_writer)) {}
    const std::string id, repository;
    BlobWriter writer;
    bool busy = false;  // guarded by the endpoints' mutex, as is `used`
    Time used{};
  };
  // Exclusive use of an upload for one request.
  class Claim;

  std::shared_ptr<Upload> create(const std::string& repository, std::string_view algorithm);
  std::shared_ptr<Upload> find(const Route& route);
  void drop(const std::string& id);
  Descriptor descriptor_of(const Digest& digest) const;
  void expire();
  // What writers that were killed have left is removed every now and then, not at the next start only.
  bool is_time_to_sweep();
  static Awaitable<void> receive(HttpExchange& exchange, BlobWriter& writer);
  static Answer located(int status, const Upload& upload);
  // The 416 for a chunk whose Content-Range does not continue what is there; the session stays usable.
  static std::optional<Answer> out_of_order(const HttpExchange& exchange, const Upload& upload);
  Awaitable<Answer> commit(HttpExchange& exchange, const Route& route, const Caller& caller, Upload& upload,
                           const Digest& digest);

  Store& store_;
  const RegistryServer::Options& options_;
  std::mutex mutex_;
  Time swept_{};
  std::map<std::string, std::shared_ptr<Upload>> uploads_;
};

}  // namespace kiln::registry::detail
