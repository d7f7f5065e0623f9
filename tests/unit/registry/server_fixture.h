#pragma once

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/unit/registry/fixtures.h"

namespace kiln::registry {

// An embedded registry and who asks it; its repository is a/b.
class Server : public testing::Test {
 protected:
  HttpResponse ask(std::string method, std::string_view target, HttpHeaders headers = {},
                   std::string body = {}) {
    const std::string url = target.starts_with("http") ? std::string(target) : registry_.url(target);
    return client_.send({.method = std::move(method),
                         .url = url,
                         .headers = std::move(headers),
                         .body = HttpBody::of_text(std::move(body))});
  }
  std::string start_upload(std::string_view query = "") {
    const HttpResponse response = ask("POST", "/v2/a/b/blobs/uploads/" + std::string(query));
    EXPECT_EQ(response.status, 202);
    return std::string(response.headers.get("Location"));
  }
  void push_blob(const std::string& content) {
    const auto response = ask("PUT", start_upload() + "?digest=" + sha256(content).text(), {}, content);
    ASSERT_EQ(response.status, 201) << response.body;
    EXPECT_EQ(response.headers.get("Location"), "/v2/a/b/blobs/" + sha256(content).text());
  }
  std::string manifest(const std::string& salt, const std::string& subject = "") {
    push_blob("{}");
    nlohmann::json document{
        {"schemaVersion", 2},
        {"mediaType", media::kManifest},
        {"config", {{"mediaType", media::kConfig}, {"digest", sha256("{}").text()}, {"size", 2}}},
        {"layers", nlohmann::json::array()},
        {"annotations", {{"salt", salt}}}};
    if (!subject.empty())
      document["subject"] = {{"mediaType", media::kManifest}, {"digest", subject}, {"size", 1}};
    return document.dump(1);  // not canonical: the exact bytes must come back
  }
  HttpResponse push_manifest(const std::string& reference, const std::string& bytes,
                             std::string type = std::string(media::kManifest)) {
    return ask("PUT", "/v2/a/b/manifests/" + reference, {{"Content-Type", std::move(type)}}, bytes);
  }
  static std::string code(const HttpResponse& response) {
    const nlohmann::json document = nlohmann::json::parse(response.body, nullptr, false);
    return document.is_object() ? document["errors"][0]["code"].get<std::string>() : "no error document";
  }

  TestRegistry registry_;
  HttpClient client_;
};

}  // namespace kiln::registry
