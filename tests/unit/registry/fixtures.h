#pragma once

#include <string>
#include <vector>

#include "base/fs.h"
#include "base/http_client.h"
#include "base/http_server.h"
#include "registry/client.h"
#include "registry/server/server.h"
#include "registry/store/store.h"
#include "tests/unit/registry/tar_builder.h"

namespace kiln::registry {

inline HttpServer::Options on_free_port() {
  HttpServer::Options options;
  options.port = 0;
  options.threads = 2;
  return options;
}

// An embedded registry over a store of its own, on a free loopback port.
struct TestRegistry {
  explicit TestRegistry(RegistryServer::Options options = {})
      : store(dir.path()),
        registry(store, std::move(options)),
        server(on_free_port(), [this](HttpExchange& exchange) { return registry.handle(exchange); }) {}
  std::string host() const { return server.authority(); }
  std::string url(std::string_view target) const { return "http://" + host() + std::string(target); }

  TempDir dir;
  Store store;
  RegistryServer registry;
  HttpServer server;
};

// Pauses too short to notice.
inline Client::Options impatient() {
  Client::Options options;
  options.retries = {3, std::chrono::milliseconds(1), std::chrono::milliseconds(5)};
  options.environment = {};
  options.system_folder = "/nonexistent";
  return options;
}

// An image of uncompressed layers in the store.
inline Image make_image(Store& store, const std::vector<std::string>& tars, const std::string& label = {}) {
  ImageConfig config;
  config.architecture = machine_architecture();
  if (!label.empty()) config.labels["label"] = label;
  std::vector<Descriptor> layers;
  for (const std::string& tar : tars) {
    config.diff_ids.push_back(sha256(tar));
    layers.push_back(store.put(tar, media::kLayer));
  }
  Manifest manifest{std::string(media::kManifest), store.put(serialize(config), media::kConfig), layers, {}};
  return {store.put(serialize(manifest), media::kManifest), manifest, config};
}

}  // namespace kiln::registry
