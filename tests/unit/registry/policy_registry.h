#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "registry/server/registry_policies.h"
#include "tests/unit/registry/fixtures.h"

namespace kiln::registry {

// An embedded registry with policies, over a store of its own, as `kiln serve` puts them together. Time
// stands still.
struct PolicyRegistry {
  explicit PolicyRegistry(PolicySettings settings, RegistrySettings others = {})
      : store(dir.path() / "store"),
        policies(store, client,
                 {.settings = std::move(settings),
                  .database = dir.path() / "registry.db",
                  .source = "http://registry.example",
                  .has_users = !others.htpasswd.empty(),
                  .read_only = others.read_only,
                  .clock = &clock}),
        registry(store, {.settings = std::move(others), .hooks = &policies, .clock = &clock}),
        server(on_free_port(), [this](HttpExchange& exchange) { return registry.handle(exchange); }) {}

  HttpResponse ask(std::string method, const std::string& target, std::string body = {},
                   std::string type = std::string(media::kManifest), HttpHeaders headers = {}) const {
    headers.add("Content-Type", std::move(type));
    return http.send({.method = std::move(method),
                      .url = "http://" + server.authority() + target,
                      .headers = std::move(headers),
                      .body = HttpBody::of_text(std::move(body))});
  }
  int push_blob(const std::string& repository, const std::string& content) const {
    return ask("POST", "/v2/" + repository + "/blobs/uploads/?digest=" + sha256(content).text(), content)
        .status;
  }
  HttpResponse push(const std::string& repository, const std::string& reference,
                    const std::string& bytes) const {
    return ask("PUT", "/v2/" + repository + "/manifests/" + reference, bytes,
               bytes.find("\"manifests\"") == std::string::npos ? std::string(media::kManifest)
                                                                : std::string(media::kIndex));
  }
  int get(const std::string& target) const { return ask("GET", "/v2/" + target).status; }

  TempDir dir;
  ManualClock clock{Time(std::chrono::seconds(1'800'000'000))};
  Store store;
  Client client{impatient()};
  RegistryPolicies policies;
  RegistryServer registry;
  HttpServer server;
  HttpClient http;
};

inline std::string manifest_of(const std::string& config, const std::vector<std::string>& layers = {},
                               const std::string& salt = {}, const std::string& subject = {}) {
  nlohmann::json document{
      {"schemaVersion", 2},
      {"mediaType", media::kManifest},
      {"config", {{"mediaType", media::kConfig}, {"digest", sha256(config).text()}, {"size", config.size()}}},
      {"layers", nlohmann::json::array()}};
  for (const std::string& layer : layers)
    document["layers"].push_back(
        {{"mediaType", media::kLayer}, {"digest", sha256(layer).text()}, {"size", layer.size()}});
  if (!salt.empty()) document["annotations"] = {{"salt", salt}};
  if (!subject.empty())
    document["subject"] = {{"mediaType", media::kManifest}, {"digest", subject}, {"size", 1}};
  return document.dump();
}

inline std::string index_of(const std::vector<std::string>& manifests) {
  nlohmann::json document{
      {"schemaVersion", 2}, {"mediaType", media::kIndex}, {"manifests", nlohmann::json::array()}};
  for (const std::string& bytes : manifests)
    document["manifests"].push_back(
        {{"mediaType", media::kManifest}, {"digest", sha256(bytes).text()}, {"size", bytes.size()}});
  return document.dump();
}

inline std::string error_code(const HttpResponse& response) {
  const auto document = nlohmann::json::parse(response.body, nullptr, false);
  return document.is_object() ? document["errors"][0]["code"].get<std::string>() : "no error document";
}

}  // namespace kiln::registry
