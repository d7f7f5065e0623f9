#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/http_server.h"
#include "registry/server/registry_settings.h"

namespace kiln::registry {

class RegistryHooks;
class RegistryMetrics;
class Store;

// The embedded registry: the distribution-spec 1.1 served straight from the content store. A repository
// `hello` with a tag `latest` is the store's name "hello:latest"; names with a host in them belong to this
// machine's user and are not visible. All repositories share one set of blobs, so that an image which was
// built here is pushed without moving a byte.
//
// Bodies stream: memory does not grow with a blob's size. What was acknowledged is on disk. Uploads outlive
// the process; they expire.
class RegistryServer {
 public:
  struct Options {
    RegistrySettings settings{};
    // With users (`settings.htpasswd`): where the key of their tokens lies; empty: in memory.
    std::filesystem::path token_key{};
    RegistryHooks* hooks = nullptr;  // what else the owner wants; must outlive the server
    size_t manifest_limit = 4u << 20;
    size_t referrers_limit = 4u << 20;  // bytes of one page; a page has one referrer at least
    Duration upload_expiry = std::chrono::hours(1);
    size_t upload_limit = 1024;  // uploads at once; beyond, 429
    const Clock* clock = &system_clock();
  };

  // Throws what is wrong with the users' file (Htpasswd) or the tokens' key (Tokens).
  explicit RegistryServer(Store& store);
  RegistryServer(Store& store, Options options);
  ~RegistryServer();

  // True for what belongs to the registry: /v2 and all below it.
  static bool handles(std::string_view path);
  // An HttpHandler. The server must outlive the call.
  Awaitable<void> handle(HttpExchange& exchange);
  const RegistryMetrics& metrics() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace kiln::registry
