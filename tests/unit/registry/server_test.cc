// The rules of the distribution-spec 1.1, endpoint by endpoint, as its conformance suite asks for them.
#include "registry/server/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <mutex>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "registry/server/registry_hooks.h"
#include "registry/server/server_route.h"
#include "tests/unit/registry/fixtures.h"

namespace kiln::registry {
namespace {

using nlohmann::json;
using testing::HasSubstr;

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
    json document{{"schemaVersion", 2},
                  {"mediaType", media::kManifest},
                  {"config", {{"mediaType", media::kConfig}, {"digest", sha256("{}").text()}, {"size", 2}}},
                  {"layers", json::array()},
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
    const json document = json::parse(response.body, nullptr, false);
    return document.is_object() ? document["errors"][0]["code"].get<std::string>() : "no error document";
  }

  TestRegistry registry_;
  HttpClient client_;
};

TEST_F(Server, AnswersTheVersionCheck) {
  EXPECT_EQ(ask("GET", "/v2/").status, 200);
  EXPECT_EQ(ask("GET", "/v2/").headers.get("Docker-Distribution-Api-Version"), "registry/2.0");
  EXPECT_EQ(ask("GET", "/v2/a/nonsense").status, 404);
  EXPECT_EQ(ask("POST", "/v2/").status, 405);
  EXPECT_EQ(code(ask("GET", "/v2/UPPER/tags/list")), "NAME_INVALID");
  EXPECT_EQ(ask("GET", "/v2/../x/tags/list").status, 404);
}

TEST_F(Server, ServesBlobsAndTheirRanges) {
  push_blob("0123456789");
  const std::string target = "/v2/a/b/blobs/" + sha256("0123456789").text();
  const HttpResponse whole = ask("GET", target);
  EXPECT_EQ(whole.status, 200);
  EXPECT_EQ(whole.body, "0123456789");
  EXPECT_EQ(whole.headers.get("Docker-Content-Digest"), sha256("0123456789").text());
  const HttpResponse head = ask("HEAD", target);
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.headers.get("Content-Length"), "10");
  const struct {
    const char *range, *body, *content_range;
  } cases[] = {{"bytes=2-4", "234", "bytes 2-4/10"},
               {"bytes=7-", "789", "bytes 7-9/10"},
               {"bytes=-3", "789", "bytes 7-9/10"},
               {"bytes=5-500", "56789", "bytes 5-9/10"},
               {"bytes=-500", "0123456789", "bytes 0-9/10"}};
  for (const auto& c : cases) {
    const HttpResponse part = ask("GET", target, {{"Range", c.range}});
    EXPECT_EQ(part.status, 206) << c.range;
    EXPECT_EQ(part.body, c.body);
    EXPECT_EQ(part.headers.get("Content-Range"), c.content_range);
  }
  EXPECT_EQ(ask("GET", target, {{"Range", "bytes=10-"}}).status, 416);
  EXPECT_EQ(ask("GET", target, {{"Range", "bytes=5-2"}}).status, 416);
  EXPECT_EQ(ask("GET", target, {{"Range", "lines=1-2"}}).status, 200);
  EXPECT_EQ(code(ask("GET", "/v2/a/b/blobs/" + sha256("absent").text())), "BLOB_UNKNOWN");
  EXPECT_EQ(ask("HEAD", "/v2/a/b/blobs/" + sha256("absent").text()).status, 404);
  EXPECT_EQ(ask("GET", "/v2/a/b/blobs/sha256:../../index.json").status, 404);
}

TEST_F(Server, SendsNothingThatTheClientHas) {
  push_blob("0123456789");
  const std::string bytes = manifest("etag");
  push_manifest("v1", bytes);
  const std::pair<std::string, std::string> cases[] = {
      {"/v2/a/b/blobs/" + sha256("0123456789").text(), sha256("0123456789").text()},
      {"/v2/a/b/manifests/v1", sha256(bytes).text()}};
  for (const auto& [target, digest] : cases) {
    EXPECT_EQ(ask("GET", target).headers.get("ETag"), "\"" + digest + "\"");
    for (const std::string& has : {"\"" + digest + "\"", "\"x\", W/\"" + digest + "\"", std::string("*")}) {
      const HttpResponse response = ask("GET", target, {{"If-None-Match", has}});
      EXPECT_EQ(response.status, 304) << target << " " << has;
      EXPECT_EQ(response.body, "");
      EXPECT_EQ(ask("HEAD", target, {{"If-None-Match", has}}).status, 304);
    }
    EXPECT_EQ(ask("GET", target, {{"If-None-Match", "\"x\""}}).status, 200);
    EXPECT_EQ(ask("GET", target, {{"If-None-Match", digest}}).status, 200) << "an entity tag is quoted";
  }
}

TEST_F(Server, NeverServesADamagedBlob) {
  push_blob("precious");
  write_file(registry_.store.blob_path(sha256("precious")), "tampered");
  EXPECT_EQ(ask("GET", "/v2/a/b/blobs/" + sha256("precious").text()).status, 404);
}

TEST_F(Server, TakesAWholeBlobInOnePost) {
  const HttpResponse response =
      ask("POST", "/v2/a/b/blobs/uploads/?digest=" + sha256("mono").text(), {}, "mono");
  EXPECT_EQ(response.status, 201);
  EXPECT_EQ(ask("GET", response.headers.get("Location")).body, "mono");
  EXPECT_EQ(code(ask("POST", "/v2/a/b/blobs/uploads/?digest=" + sha256("other").text(), {}, "mono")),
            "DIGEST_INVALID");
  EXPECT_EQ(ask("POST", "/v2/a/b/blobs/uploads/?digest=sha256:zz", {}, "mono").status, 400);
}

TEST_F(Server, TakesChunksInOrderOnly) {
  const std::string location = start_upload();
  HttpResponse response = ask("PATCH", location, {{"Content-Range", "0-2"}}, "abc");
  EXPECT_EQ(response.status, 202);
  EXPECT_EQ(response.headers.get("Range"), "0-2");
  for (const char* bad : {"0-2", "4-6", "3-9", "bytes 3-5", "3-", "x"}) {
    response = ask("PATCH", location, {{"Content-Range", bad}}, "def");
    EXPECT_EQ(response.status, 416) << bad;
    EXPECT_EQ(response.headers.get("Range"), "0-2");
  }
  response = ask("GET", location);
  EXPECT_EQ(response.status, 204);
  EXPECT_EQ(response.headers.get("Range"), "0-2");
  EXPECT_EQ(ask("PATCH", location, {{"Content-Range", "3-5"}}, "def").status, 202);
  const std::string put = location + "?digest=" + sha256("abcdefghi").text();
  EXPECT_EQ(ask("PUT", put, {{"Content-Range", "0-2"}}, "ghi").status, 416);
  EXPECT_EQ(ask("PUT", put, {{"Content-Range", "6-8"}}, "ghi").status, 201);
  EXPECT_EQ(ask("PUT", put).status, 404);
  EXPECT_EQ(ask("GET", "/v2/a/b/blobs/" + sha256("abcdefghi").text()).body, "abcdefghi");
}

TEST_F(Server, DamagedContentCountsAsMissingAndIsHealedByAPush) {
  const auto damage = [&](const Digest& digest) {
    std::string bytes = read_file(registry_.store.blob_path(digest));
    bytes[0] ^= 1;
    write_file(registry_.store.blob_path(digest), bytes);
  };
  push_blob("0123456789");
  const Digest digest = sha256("0123456789");
  const std::string target = "/v2/a/b/blobs/" + digest.text();
  damage(digest);
  push_blob("0123456789");  // nobody has noticed yet: what is acknowledged must be readable all the same
  EXPECT_EQ(ask("GET", target).body, "0123456789");
  damage(digest);
  EXPECT_EQ(code(ask("GET", target)), "BLOB_UNKNOWN");
  EXPECT_EQ(ask("HEAD", target).status, 404);
  push_blob("0123456789");
  EXPECT_EQ(ask("GET", target).body, "0123456789");

  const std::string bytes = manifest("one");
  push_manifest("v1", bytes);
  damage(sha256(bytes));
  EXPECT_EQ(code(ask("GET", "/v2/a/b/manifests/v1")), "MANIFEST_UNKNOWN");
  push_manifest("v1", bytes);
  EXPECT_EQ(ask("GET", "/v2/a/b/manifests/v1").body, bytes);
}

TEST_F(Server, TakesAStreamOfUnknownLength) {
  HttpRequest request{.method = "PATCH", .url = registry_.url(start_upload())};
  int pieces = 100;
  request.body.source = [&](char* buffer, size_t) -> size_t {
    if (pieces-- == 0) return 0;
    *buffer = 'z';
    return 1;
  };
  const HttpResponse response = client_.send(request);
  EXPECT_EQ(response.headers.get("Range"), "0-99");
  const std::string location(response.headers.get("Location"));
  EXPECT_EQ(ask("PUT", location + "?digest=" + sha256(std::string(100, 'z')).text()).status, 201);
}

TEST_F(Server, RefusesAWrongDigestAndForgetsTheUpload) {
  const std::string location = start_upload();
  EXPECT_EQ(code(ask("PUT", location + "?digest=" + sha256("right").text(), {}, "wrong")), "DIGEST_INVALID");
  EXPECT_EQ(code(ask("GET", location)), "BLOB_UPLOAD_UNKNOWN");
  EXPECT_FALSE(registry_.store.has(sha256("wrong")));
  EXPECT_EQ(ask("PUT", start_upload(), {}, "x").status, 400);
}

TEST_F(Server, KnowsSha512) {
  Hasher hasher("sha512");
  hasher.update("x");
  const Digest digest = hasher.finish();
  EXPECT_EQ(ask("PUT", start_upload("?digest-algorithm=sha512") + "?digest=" + digest.text(), {}, "x").status,
            201);
  EXPECT_EQ(ask("GET", "/v2/a/b/blobs/" + digest.text()).body, "x");
  hasher.update("y");
  const Digest late = hasher.finish();
  EXPECT_EQ(ask("PUT", start_upload() + "?digest=" + late.text(), {}, "y").status, 201);
  EXPECT_EQ(ask("POST", "/v2/a/b/blobs/uploads/?digest-algorithm=md5").status, 400);
}

TEST_F(Server, UploadsCanBeCancelledAndExpire) {
  const std::string location = start_upload();
  EXPECT_EQ(ask("DELETE", location).status, 204);
  EXPECT_EQ(ask("PATCH", location, {}, "x").status, 404);

  ManualClock clock;
  RegistryServer::Options options;
  options.clock = &clock;
  TestRegistry other(std::move(options));
  const auto begun = client_.send({.method = "POST", .url = other.url("/v2/a/blobs/uploads/")});
  const std::string upload = other.url(begun.headers.get("Location"));
  EXPECT_EQ(client_.get(upload).status, 204);
  clock.advance(std::chrono::hours(2));
  EXPECT_EQ(client_.get(upload).status, 404);
  EXPECT_TRUE(fs::is_empty(other.dir.path() / "uploads"));
}

TEST_F(Server, RemovesWhatKilledWritersLeft) {
  ManualClock clock(system_clock().now());
  RegistryServer::Options options;
  options.clock = &clock;
  TestRegistry other(std::move(options));
  const fs::path dead = other.dir.path() / "uploads/dead";
  const auto begin = [&] {
    EXPECT_EQ(client_.send({.method = "POST", .url = other.url("/v2/a/blobs/uploads/")}).status, 202);
  };
  begin();
  write_file(dead, "x");
  fs::last_write_time(dead, fs::file_time_type::clock::now() - std::chrono::hours(5));
  clock.advance(std::chrono::minutes(11));
  begin();
  EXPECT_FALSE(fs::exists(dead));
}

TEST_F(Server, MountsWhatItHas) {
  push_blob("shared");
  EXPECT_EQ(ask("POST", "/v2/other/blobs/uploads/?mount=" + sha256("shared").text() + "&from=a/b").status,
            201);
  EXPECT_EQ(ask("POST", "/v2/other/blobs/uploads/?mount=" + sha256("shared").text()).status, 201);
  const HttpResponse missing =
      ask("POST", "/v2/other/blobs/uploads/?mount=" + sha256("none").text() + "&from=a/b");
  EXPECT_EQ(missing.status, 202);
  EXPECT_THAT(std::string(missing.headers.get("Location")), HasSubstr("/v2/other/blobs/uploads/"));
}

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

TEST_F(Server, ReadOnlyTakesAndRemovesNothing) {
  RegistryServer::Options options;
  options.settings.read_only = true;
  TestRegistry other(std::move(options));
  other.store.tag("x:v1", other.store.put(R"({"schemaVersion":2,"manifests":[]})", media::kIndex));
  const auto status = [&](std::string method, const char* target) {
    return client_.send({.method = std::move(method), .url = other.url(target)}).status;
  };
  EXPECT_EQ(status("GET", "/v2/x/manifests/v1"), 200);
  EXPECT_EQ(status("DELETE", "/v2/x/manifests/v1"), 405);
  EXPECT_EQ(status("PUT", "/v2/x/manifests/v2"), 405);
  EXPECT_EQ(status("POST", "/v2/x/blobs/uploads/"), 405);
  EXPECT_TRUE(other.store.resolve("x:v1"));
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

TEST_F(Server, TellsOfPushesAndLetsThemFail) {
  struct Hooks final : RegistryHooks {
    void happened(const RegistryEvent& event) override {
      if (event.action != RegistryEvent::Action::Push) return;
      if (event.tag == "no") throw Error(ErrorKind::Infrastructure, "the journal is full");
      std::lock_guard lock(mutex);
      told.push_back(event.repository + ":" + event.tag);
    }
    std::mutex mutex;
    std::vector<std::string> told;
  } hooks;
  RegistryServer::Options options;
  options.hooks = &hooks;
  TestRegistry other(std::move(options));
  other.store.put("{}", media::kConfig);
  const std::string bytes = manifest("t");
  const auto put = [&](const char* tag) {
    return client_.send({.method = "PUT",
                         .url = other.url(std::string("/v2/x/manifests/") + tag),
                         .headers = {{"Content-Type", std::string(media::kManifest)}},
                         .body = HttpBody::of_text(bytes)});
  };
  EXPECT_EQ(put("yes").status, 201);
  EXPECT_EQ(put("no").status, 500);
  std::lock_guard lock(hooks.mutex);
  EXPECT_EQ(hooks.told, std::vector<std::string>{"x:yes"});
}

TEST_F(Server, AsksItsOwnerBeforeItTakesOrRemoves) {
  struct Hooks final : RegistryHooks {
    Admission before_push(std::string_view, std::span<const std::string> tags, const Descriptor&,
                          std::string_view) override {
      if (std::ranges::find(tags, "fixed") == tags.end()) return {};
      return {Refusal{409, "TAG_INVALID", "it stays"}, nullptr};
    }
    std::optional<Refusal> before_upload(std::string_view repository, std::optional<uint64_t>) override {
      return repository == "full" ? std::optional<Refusal>({403, "DENIED", "no room"}) : std::nullopt;
    }
    std::optional<Refusal> before_delete(std::string_view, std::string_view reference) override {
      return reference == "kept" ? std::optional<Refusal>({403, "DENIED", "it stays"}) : std::nullopt;
    }
    bool is_elsewhere(std::string_view repository) override { return repository == "x"; }
    void before_manifest(std::string_view repository, std::string_view reference, std::string_view) override {
      if (reference != "far") return;
      std::string name(repository);
      const std::string bytes = R"({"schemaVersion":2,"manifests":[]})";
      store->tag(name + ":far", store->put(bytes, media::kIndex));
    }
    Store* store = nullptr;
  } hooks;
  RegistryServer::Options options;
  options.hooks = &hooks;
  TestRegistry other(std::move(options));
  hooks.store = &other.store;
  const auto send = [&](std::string method, const char* target, std::string body = {}) {
    return client_
        .send({.method = std::move(method),
               .url = other.url(target),
               .body = HttpBody::of_text(std::move(body))})
        .status;
  };
  const std::string index = R"({"schemaVersion":2,"manifests":[]})";
  EXPECT_EQ(send("PUT", "/v2/x/manifests/fixed", index), 409);
  EXPECT_EQ(send("PUT", "/v2/x/manifests/kept", index), 201);
  EXPECT_EQ(send("DELETE", "/v2/x/manifests/kept"), 403);
  EXPECT_EQ(send("POST", "/v2/full/blobs/uploads/"), 403);
  EXPECT_EQ(send("POST", "/v2/x/blobs/uploads/"), 202);
  EXPECT_EQ(send("GET", "/v2/x/manifests/far"), 200);
}

TEST_F(Server, ShowsLocalImagesUnderTheirNames) {
  const Image image = make_image(registry_.store, {TarBuilder().file("f", "x").finish()});
  registry_.store.tag("kiln/build:latest", image.descriptor);
  registry_.store.tag("localhost:8080/hello:latest", image.descriptor);
  EXPECT_EQ(ask("GET", "/v2/kiln/build/manifests/latest").status, 200);
  EXPECT_EQ(json::parse(ask("GET", "/v2/_catalog").body)["repositories"], (json{"kiln/build"}));
}

TEST(Route, FindsTheEndpointInRepositoriesWithMisleadingNames) {
  using detail::Route;
  const auto route = detail::parse_route("/v2/blobs/uploads/blobs/uploads/");
  ASSERT_TRUE(route);
  EXPECT_EQ(route->repository, "blobs/uploads");
  EXPECT_EQ(route->kind, Route::Kind::Uploads);
  EXPECT_EQ(detail::parse_route("/v2/manifests/manifests/manifests/tags")->argument, "tags");
  EXPECT_EQ(detail::parse_route("/v2/x/tags/list")->kind, Route::Kind::Tags);
  EXPECT_FALSE(detail::parse_route("/v2/blobs/x"));
  EXPECT_FALSE(detail::parse_route("/v3/"));
}

}  // namespace
}  // namespace kiln::registry
