#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/http_server.h"
#include "registry/image.h"

namespace kiln::registry {

class Store;

// The embedded registry: the distribution-spec 1.1 served straight from the content store. A repository
// `hello` with a tag `latest` is the store's name "hello:latest"; names with a host in them belong to this
// machine's user and are not visible. All repositories share one set of blobs, so that an image which was
// built here is pushed without moving a byte.
//
// Bodies stream: memory does not grow with a blob's size. What was acknowledged is on disk. Uploads live in
// memory and expire; a client whose upload was lost by a restart gets 404 and begins anew.
class RegistryServer {
 public:
  struct Push {
    std::string repository;
    std::string tag;  // empty: pushed by digest
    Descriptor manifest;
  };
  struct Options {
    bool allow_delete = true;
    bool sparse = false;  // take manifests whose blobs are not here (distribution-spec, "Sparse manifests")
    size_t manifest_limit = 4u << 20;
    Duration upload_expiry = std::chrono::hours(1);
    size_t upload_limit = 1024;  // uploads at once; beyond, 429
    // Called for every manifest before its push is acknowledged, on a pool thread. What it throws fails the
    // push.
    std::function<void(const Push&)> on_push{};
    const Clock* clock = &system_clock();
  };

  explicit RegistryServer(Store& store);
  RegistryServer(Store& store, Options options);
  ~RegistryServer();

  // True for what belongs to the registry: /v2 and all below it.
  static bool handles(std::string_view path);
  // An HttpHandler. The server must outlive the call.
  Awaitable<void> handle(HttpExchange& exchange);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace kiln::registry
