// Manifests, tags and referrers, as the distribution-spec 1.1 has them.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/unit/registry/server_fixture.h"

namespace kiln::registry {
namespace {

using nlohmann::json;

TEST_F(Server, KeepsManifestsByteForByte) {
  const std::string bytes = manifest("one");
  const HttpResponse pushed = push_manifest("v1", bytes);
  EXPECT_EQ(pushed.status, 201) << pushed.body;
  EXPECT_EQ(pushed.headers.get("Location"), "/v2/a/b/manifests/" + sha256(bytes).text());
  for (const std::string& reference : {std::string("v1"), sha256(bytes).text()}) {
    const HttpResponse got = ask("GET", "/v2/a/b/manifests/" + reference);
    EXPECT_EQ(got.body, bytes);
    EXPECT_EQ(got.headers.get("Content-Type"), media::kManifest);
    EXPECT_EQ(got.headers.get("Docker-Content-Digest"), sha256(bytes).text());
    EXPECT_EQ(ask("HEAD", "/v2/a/b/manifests/" + reference).headers.get("Content-Length"),
              std::to_string(bytes.size()));
  }
  EXPECT_EQ(code(ask("GET", "/v2/a/b/manifests/v2")), "MANIFEST_UNKNOWN");
  EXPECT_EQ(code(ask("GET", "/v2/nowhere/manifests/v1")), "NAME_UNKNOWN");
  EXPECT_EQ(registry_.store.resolve("a/b:v1")->digest, sha256(bytes));

  const std::string second = manifest("two");
  push_manifest("v1", second);
  EXPECT_EQ(ask("GET", "/v2/a/b/manifests/v1").body, second);
  EXPECT_EQ(ask("GET", "/v2/a/b/manifests/" + sha256(bytes).text()).status, 200);  // outlives its tag
}

TEST_F(Server, RefusesBadManifests) {
  EXPECT_EQ(code(push_manifest("v1", "not json")), "MANIFEST_INVALID");
  EXPECT_EQ(code(push_manifest("v1", manifest("x"), std::string(media::kIndex))), "MANIFEST_INVALID");
  EXPECT_EQ(code(push_manifest(sha256("other").text(), manifest("x"))), "DIGEST_INVALID");
  EXPECT_EQ(code(push_manifest(".bad", manifest("x"))), "TAG_INVALID");
  EXPECT_EQ(code(push_manifest(
                "v1", R"({"config":{"mediaType":"a","size":1,"digest":")" + sha256("gone").text() + "\"}}")),
            "MANIFEST_BLOB_UNKNOWN");
  EXPECT_EQ(push_manifest("v1", std::string(5 << 20, ' ')).status, 413);
  std::string large = manifest(std::string(4'000'000, 'x'));
  EXPECT_EQ(push_manifest("large", large).status, 201);
}

TEST_F(Server, TakesSparseManifestsWhenToldTo) {
  RegistryServer::Options options;
  options.settings.sparse = true;
  TestRegistry other(std::move(options));
  const std::string bytes =
      R"({"schemaVersion":2,"config":{"mediaType":"a","size":1,"digest":")" + sha256("gone").text() + "\"}}";
  const std::string url = other.url("/v2/x/manifests/v1");
  EXPECT_EQ(client_
                .send({.method = "PUT",
                       .url = url,
                       .headers = {{"Content-Type", std::string(media::kManifest)}},
                       .body = HttpBody::of_text(bytes)})
                .status,
            201);
  EXPECT_EQ(client_.get(url).body, bytes);
}

TEST_F(Server, OnePutMaySetSeveralTags) {
  const std::string bytes = manifest("many");
  const HttpResponse response = push_manifest(sha256(bytes).text() + "?tag=one&tag=two", bytes);
  EXPECT_EQ(response.status, 201);
  EXPECT_EQ(response.headers.all("OCI-Tag").size(), 2u);
  EXPECT_EQ(ask("GET", "/v2/a/b/manifests/two").body, bytes);
}

TEST_F(Server, ListsTagsPageByPage) {
  const std::string bytes = manifest("t");
  for (const char* tag : {"b", "a", "C", "d"}) push_manifest(tag, bytes);
  EXPECT_EQ(json::parse(ask("GET", "/v2/a/b/tags/list").body),
            (json{{"name", "a/b"}, {"tags", {"C", "a", "b", "d"}}}));
  const HttpResponse page = ask("GET", "/v2/a/b/tags/list?n=2");
  EXPECT_EQ(json::parse(page.body)["tags"], (json{"C", "a"}));
  EXPECT_EQ(page.headers.get("Link"), "</v2/a/b/tags/list?n=2&last=a>; rel=\"next\"");
  const HttpResponse rest = ask("GET", "/v2/a/b/tags/list?n=2&last=a");
  EXPECT_EQ(json::parse(rest.body)["tags"], (json{"b", "d"}));
  EXPECT_FALSE(rest.headers.has("Link"));
  EXPECT_EQ(json::parse(ask("GET", "/v2/a/b/tags/list?n=0").body)["tags"], json::array());
  EXPECT_EQ(ask("GET", "/v2/a/b/tags/list?n=x").status, 400);
  EXPECT_EQ(code(ask("GET", "/v2/nowhere/tags/list")), "NAME_UNKNOWN");
  EXPECT_EQ(json::parse(ask("GET", "/v2/_catalog").body)["repositories"], (json{"a/b"}));
}

TEST_F(Server, ListsReferrers) {
  const std::string subject = sha256("a manifest that is not here yet").text();
  const HttpResponse pushed = push_manifest("ref", manifest("r", subject));
  EXPECT_EQ(pushed.headers.get("OCI-Subject"), subject);
  const HttpResponse listed = ask("GET", "/v2/a/b/referrers/" + subject);
  EXPECT_EQ(listed.headers.get("Content-Type"), media::kIndex);
  const json index = json::parse(listed.body);
  ASSERT_EQ(index["manifests"].size(), 1u);
  EXPECT_EQ(index["manifests"][0]["artifactType"], media::kConfig);
  EXPECT_EQ(index["manifests"][0]["annotations"]["salt"], "r");
  const HttpResponse filtered = ask("GET", "/v2/a/b/referrers/" + subject + "?artifactType=other");
  EXPECT_EQ(filtered.headers.get("OCI-Filters-Applied"), "artifactType");
  EXPECT_TRUE(json::parse(filtered.body)["manifests"].empty());
  EXPECT_EQ(ask("GET", "/v2/nowhere/referrers/" + subject).status, 200);
  EXPECT_EQ(ask("GET", "/v2/a/b/referrers/nonsense").status, 400);
}

TEST_F(Server, ListsReferrersPageByPage) {
  TestRegistry registry({.referrers_limit = 1000});
  HttpClient client;
  const std::string subject = sha256("subject").text(), type = "application/x+y&z";
  std::set<std::string> wanted;
  for (int i = 0; i < 7; ++i) {
    json document = json::parse(R"({"schemaVersion":2,"manifests":[]})");
    document["mediaType"] = media::kIndex;
    document["artifactType"] = i == 6 ? "another" : type;
    document["subject"] = {{"mediaType", media::kManifest}, {"digest", subject}, {"size", 1}};
    document["annotations"] = {{"number", std::to_string(i)},
                               {"long", std::string(i == 5 ? 2000 : 100, 'x')}};
    const std::string bytes = document.dump();
    if (i < 6) wanted.insert(sha256(bytes).text());
    ASSERT_EQ(client
                  .send({.method = "PUT",
                         .url = registry.url("/v2/a/manifests/" + sha256(bytes).text()),
                         .headers = {{"Content-Type", std::string(media::kIndex)}},
                         .body = HttpBody::of_text(bytes)})
                  .status,
              201);
  }
  std::set<std::string> seen;
  std::string next = "/v2/a/referrers/" + subject + "?artifactType=application/x%2By%26z";
  int pages = 0;
  for (; !next.empty(); ++pages) {
    const HttpResponse page = client.get(registry.url(next));
    ASSERT_EQ(page.status, 200) << next;
    const json manifests = json::parse(page.body)["manifests"];
    EXPECT_TRUE(page.body.size() <= 1000 || manifests.size() == 1) << page.body.size();
    for (const json& item : manifests)
      EXPECT_TRUE(seen.insert(item["digest"].get<std::string>()).second) << "once only";
    const std::string link(page.headers.get("Link"));
    next = link.empty() ? "" : link.substr(1, link.find('>') - 1);
    EXPECT_TRUE(link.empty() || link.ends_with(">; rel=\"next\"")) << link;
  }
  EXPECT_EQ(seen, wanted);
  EXPECT_GE(pages, 3);
}

TEST_F(Server, TakesNoManifestThatBeginsWithAByteOrderMark) {
  const HttpResponse response = push_manifest("v1", "\xEF\xBB\xBF" + manifest("mark"));
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(code(response), "MANIFEST_INVALID");
}

TEST_F(Server, DeletesTagsManifestsAndUnusedBlobs) {
  const std::string bytes = manifest("del");
  push_manifest("one", bytes);
  push_manifest("two", bytes);
  EXPECT_EQ(ask("DELETE", "/v2/a/b/manifests/one").status, 202);
  EXPECT_EQ(ask("GET", "/v2/a/b/manifests/one").status, 404);
  EXPECT_EQ(ask("GET", "/v2/a/b/manifests/two").status, 200);
  EXPECT_EQ(ask("DELETE", "/v2/a/b/blobs/" + sha256("{}").text()).status, 405);  // in use
  EXPECT_EQ(ask("DELETE", "/v2/a/b/manifests/" + sha256(bytes).text()).status, 202);
  EXPECT_EQ(ask("GET", "/v2/a/b/manifests/two").status, 404);
  EXPECT_EQ(ask("DELETE", "/v2/a/b/manifests/two").status, 404);
  EXPECT_EQ(ask("DELETE", "/v2/a/b/blobs/" + sha256("{}").text()).status, 202);
  EXPECT_EQ(ask("GET", "/v2/a/b/blobs/" + sha256("{}").text()).status, 404);
}

TEST_F(Server, DeletesABlobFromTheRepositoryThatHasItOnly) {
  const std::string bytes = manifest("victim");  // uploads its config
  const std::string blob = "/blobs/" + sha256("{}").text();
  EXPECT_EQ(ask("DELETE", "/v2/attacker/x" + blob).status, 404) << "it never had it";
  EXPECT_EQ(ask("POST", "/v2/attacker/x/blobs/uploads/?mount=" + sha256("{}").text()).status, 201);
  EXPECT_EQ(ask("DELETE", "/v2/attacker/x" + blob).status, 202);
  EXPECT_EQ(ask("GET", "/v2/attacker/x" + blob).status, 404);
  EXPECT_EQ(ask("HEAD", "/v2/attacker/x" + blob).status, 404);
  EXPECT_EQ(ask("DELETE", "/v2/attacker/x" + blob).status, 404);
  EXPECT_EQ(push_manifest("v1", bytes).status, 201) << "who had uploaded it, has it";
  EXPECT_EQ(
      ask("PUT", "/v2/attacker/x/manifests/v1", {{"Content-Type", std::string(media::kManifest)}}, bytes)
          .status,
      404);
  EXPECT_EQ(ask("POST", "/v2/attacker/x/blobs/uploads/?mount=" + sha256("{}").text() + "&from=a/b").status,
            201);
  EXPECT_EQ(ask("GET", "/v2/attacker/x" + blob).status, 200) << "it came back";
}

TEST_F(Server, ShowsADeletedBlobThatAnImageBuiltHereNeeds) {
  push_blob("layer");
  const std::string blob = "/v2/a/b/blobs/" + sha256("layer").text();
  EXPECT_EQ(ask("DELETE", blob).status, 202);
  EXPECT_EQ(ask("GET", blob).status, 404);
  registry_.store.tag("a/b:built", make_image(registry_.store, {"layer"}).descriptor);
  EXPECT_EQ(ask("GET", blob).status, 200);
}

}  // namespace
}  // namespace kiln::registry
