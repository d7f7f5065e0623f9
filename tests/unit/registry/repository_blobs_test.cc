// Blobs are shared on disk; where there are rights, nobody reads by way of one repository what is another's.
#include "registry/store/repository_blobs.h"

#include <crypt.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "registry/store/collect.h"
#include "tests/unit/registry/fixtures.h"

namespace kiln::registry {
namespace {

using nlohmann::json;

class RepositoryBlobsTest : public testing::Test {
 protected:
  RepositoryBlobsTest() {
    crypt_data room{};
    const std::string hash = ::crypt_r("p", "$2b$04$abcdefghijklmnopqrstuu", &room);
    write_file(dir_.path() / "users", "alice:" + hash + "\nbob:" + hash + "\n");
    start({});
  }
  void start(RegistrySettings settings) {
    settings.htpasswd = dir_.path() / "users";
    settings.access = {{{"alice"}, {"a/**", "shared"}, true, true, true, false},
                       {{"bob"}, {"b/**"}, true, true, true, false},
                       {{"bob"}, {"shared"}, true, false, false, false}};
    RegistryServer::Options options;
    options.settings = std::move(settings);
    registry_ = std::make_unique<TestRegistry>(std::move(options));
  }
  HttpResponse ask(const std::string& user, std::string method, const std::string& target,
                   std::string body = {}) {
    return client_.send({.method = std::move(method),
                         .url = registry_->url(target),
                         .headers = {{"Content-Type", std::string(media::kManifest)},
                                     {"Authorization", "Basic " + base64_encode(user + ":p")}},
                         .body = HttpBody::of_text(std::move(body))});
  }
  int upload(const std::string& user, const std::string& repository, const std::string& content) {
    return ask(user, "POST", "/v2/" + repository + "/blobs/uploads/?digest=" + sha256(content).text(),
               content)
        .status;
  }
  int get(const std::string& user, const std::string& repository, const std::string& content) {
    return ask(user, "GET", "/v2/" + repository + "/blobs/" + sha256(content).text()).status;
  }
  int mount(const std::string& user, const std::string& to, const std::string& from,
            const std::string& content) {
    return ask(user, "POST",
               "/v2/" + to + "/blobs/uploads/?mount=" + sha256(content).text() +
                   (from.empty() ? "" : "&from=" + from))
        .status;
  }
  static std::string manifest(const std::string& config, const std::string& layer = {},
                              const std::string& type = std::string(media::kLayer)) {
    json document{
        {"schemaVersion", 2},
        {"mediaType", media::kManifest},
        {"config",
         {{"mediaType", media::kConfig}, {"digest", sha256(config).text()}, {"size", config.size()}}},
        {"layers", json::array()}};
    if (!layer.empty())
      document["layers"].push_back(
          {{"mediaType", type}, {"digest", sha256(layer).text()}, {"size", layer.size()}});
    return document.dump();
  }
  int push(const std::string& user, const std::string& repository, const std::string& bytes) {
    return ask(user, "PUT", "/v2/" + repository + "/manifests/v1", bytes).status;
  }

  TempDir dir_;
  std::unique_ptr<TestRegistry> registry_;
  HttpClient client_;
};

TEST_F(RepositoryBlobsTest, ABlobIsShownWhereItWasUploaded) {
  EXPECT_EQ(upload("alice", "a/x", "secret"), 201);
  EXPECT_EQ(get("alice", "a/x", "secret"), 200);
  EXPECT_EQ(ask("alice", "HEAD", "/v2/a/x/blobs/" + sha256("secret").text()).status, 200);
  EXPECT_EQ(get("alice", "a/y", "secret"), 404);
  EXPECT_EQ(get("bob", "b/x", "secret"), 404);
  EXPECT_EQ(ask("bob", "HEAD", "/v2/b/x/blobs/" + sha256("secret").text()).status, 404);
  EXPECT_EQ(get("bob", "a/x", "secret"), 403);
  EXPECT_EQ(upload("bob", "b/x", "secret"), 201) << "who has the bytes may bring them";
  EXPECT_EQ(get("bob", "b/x", "secret"), 200);
}

TEST_F(RepositoryBlobsTest, AManifestGivesNothingAwayThatItsRepositoryDoesNotHave) {
  upload("alice", "a/x", "secret");
  upload("bob", "b/x", "{}");
  EXPECT_EQ(push("bob", "b/x", manifest("secret")), 404);
  EXPECT_EQ(push("bob", "b/x", manifest("{}", "secret")), 404);
  EXPECT_EQ(
      push("bob", "b/x", manifest("{}", "secret", "application/vnd.oci.image.layer.nondistributable.v1.tar")),
      201);
  EXPECT_EQ(get("bob", "b/x", "secret"), 404);
  EXPECT_EQ(get("bob", "b/x", "{}"), 200);
}

TEST_F(RepositoryBlobsTest, ASparseManifestGivesNothingAwayEither) {
  RegistrySettings settings;
  settings.sparse = true;
  start(settings);
  upload("alice", "a/x", "secret");
  upload("bob", "b/x", "{}");
  EXPECT_EQ(push("bob", "b/x", manifest("{}", "secret")), 201);
  EXPECT_EQ(get("bob", "b/x", "secret"), 404);
  EXPECT_EQ(upload("bob", "b/x", "secret"), 201);
  EXPECT_EQ(get("bob", "b/x", "secret"), 200);
}

TEST_F(RepositoryBlobsTest, MountsComeFromWhatTheCallerMayPull) {
  upload("alice", "a/x", "secret");
  upload("alice", "shared", "common");
  EXPECT_EQ(mount("alice", "a/y", "a/x", "secret"), 201);
  EXPECT_EQ(get("alice", "a/y", "secret"), 200);
  EXPECT_EQ(mount("bob", "b/x", "a/x", "secret"), 202) << "an upload, as if it were not there";
  EXPECT_EQ(mount("bob", "b/x", "", "secret"), 202);
  EXPECT_EQ(mount("bob", "b/x", "shared", "secret"), 202);
  EXPECT_EQ(get("bob", "b/x", "secret"), 404);
  EXPECT_EQ(mount("bob", "b/x", "shared", "common"), 201);
  EXPECT_EQ(get("bob", "b/x", "common"), 200);
  EXPECT_EQ(push("alice", "shared", manifest("common")), 201);
  EXPECT_EQ(mount("bob", "b/y", "", "common"), 201) << "found by itself";
}

TEST_F(RepositoryBlobsTest, WhatManifestsNeedIsShownWhoeverPutItThere) {
  // As `kiln build` does: nothing was uploaded.
  const Image image = make_image(registry_->store, {"layer"});
  registry_->store.tag("a/built:latest", image.descriptor);
  EXPECT_EQ(get("alice", "a/built", "layer"), 200);
  EXPECT_EQ(get("alice", "a/x", "layer"), 404);
}

TEST_F(RepositoryBlobsTest, DeletingTouchesTheCallersRepositoryOnly) {
  upload("alice", "a/x", "common");
  upload("bob", "b/x", "common");
  push("bob", "b/x", manifest("common"));
  const std::string blob = "/blobs/" + sha256("common").text();
  EXPECT_EQ(ask("bob", "DELETE", "/v2/b/x" + blob).status, 405) << "his manifest needs it";
  EXPECT_EQ(ask("bob", "DELETE", "/v2/b/y" + blob).status, 404);
  EXPECT_EQ(ask("alice", "DELETE", "/v2/a/x" + blob).status, 202);
  EXPECT_EQ(get("alice", "a/x", "common"), 404);
  EXPECT_EQ(get("bob", "b/x", "common"), 200);
  upload("alice", "a/x", "alone");
  EXPECT_EQ(ask("alice", "DELETE", "/v2/a/x/blobs/" + sha256("alone").text()).status, 202);
  EXPECT_EQ(get("alice", "a/x", "alone"), 404);
  EXPECT_TRUE(registry_->store.has(sha256("alone")))
      << "others may be about to rely on it: collect() removes it";
}

TEST_F(RepositoryBlobsTest, LinksStayAndEndWithTheirBlob) {
  Store store(dir_.path() / "store");
  const Digest kept = store.put("kept", media::kLayer).digest, gone = store.put("gone", media::kLayer).digest;
  {
    RepositoryBlobs blobs(store);
    blobs.add("a/b", kept);
    blobs.add("a/b", gone);
    store.remove_blob(gone);
    blobs.prune();
  }
  RepositoryBlobs blobs(store);
  EXPECT_TRUE(blobs.has("a/b", kept));
  EXPECT_FALSE(blobs.has("a/b", gone));
  EXPECT_FALSE(blobs.has("a", kept));
  EXPECT_TRUE(blobs.is_linked(kept));
  blobs.remove("a/b", kept);
  EXPECT_FALSE(blobs.has("a/b", kept));
  EXPECT_FALSE(blobs.is_linked(kept));
}

TEST_F(RepositoryBlobsTest, WhatWasReceivedAndIsNeededByNoManifestIsForgottenWhenTheStoreIsCollected) {
  for (const char* repository : {"a/x", "a/y", "shared"})
    for (const char* content : {"{}", "layer"}) ASSERT_EQ(upload("alice", repository, content), 201);
  ASSERT_EQ(push("alice", "a/x", manifest("{}", "layer")), 201);
  registry_->store.update([&](IndexEdit& edit) {  // as copies of other registries are
    const std::string bytes = manifest("{}", "layer");
    edit.add({std::string(media::kManifest),
              sha256(bytes),
              bytes.size(),
              {{Store::kRepository, "shared"}, {RepositoryBlobs::kSparse, "true"}},
              {},
              {},
              {}});
  });
  collect(registry_->store);
  EXPECT_EQ(get("alice", "a/y", "layer"), 200) << "young";
  collect(registry_->store, {.grace = Duration::zero()});
  EXPECT_EQ(get("alice", "a/x", "layer"), 200);
  EXPECT_EQ(get("alice", "a/y", "layer"), 404);
  EXPECT_EQ(get("alice", "shared", "layer"), 200) << "nothing but the note shows it";
}

}  // namespace
}  // namespace kiln::registry
