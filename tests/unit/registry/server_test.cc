// The rules of the distribution-spec 1.1, endpoint by endpoint, as its conformance suite asks for them.
#include "registry/server/server.h"

#include <gtest/gtest.h>
#include <mutex>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "registry/server/registry_hooks.h"
#include "registry/server/server_route.h"
#include "tests/unit/registry/server_fixture.h"

namespace kiln::registry {
namespace {

using nlohmann::json;

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

TEST_F(Server, SendsAPartOnlyOfWhatTheClientHasTheRestOf) {
  push_blob("0123456789");
  const std::string digest = sha256("0123456789").text();
  const auto ask_part = [&](const std::string& of) {
    return ask("GET", "/v2/a/b/blobs/" + digest, {{"Range", "bytes=4-"}, {"If-Range", of}});
  };
  EXPECT_EQ(ask_part("\"" + digest + "\"").body, "456789");
  for (const std::string& other :
       {std::string("\"x\""), "W/\"" + digest + "\"", std::string("Fri, 15 Jan 2027 08:00:00 GMT")}) {
    EXPECT_EQ(ask_part(other).status, 200) << other;
    EXPECT_EQ(ask_part(other).body, "0123456789") << other;
  }
}

TEST_F(Server, NeverServesADamagedBlob) {
  push_blob("precious");
  write_file(registry_.store.blob_path(sha256("precious")), "tampered");
  EXPECT_EQ(ask("GET", "/v2/a/b/blobs/" + sha256("precious").text()).status, 404);
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

TEST_F(Server, SaysWhichMethodsAnEndpointHas) {
  push_manifest("v1", manifest("allow"));
  const std::string blob = "/v2/a/b/blobs/" + sha256("{}").text();
  const auto allow = [](const HttpResponse& response) {
    EXPECT_EQ(response.status, 405);
    EXPECT_TRUE(response.headers.has("Allow"));
    return std::string(response.headers.get("Allow"));
  };
  EXPECT_EQ(allow(ask("POST", "/v2/")), "GET, HEAD");
  EXPECT_EQ(allow(ask("PUT", "/v2/a/b/tags/list")), "GET, HEAD");
  EXPECT_EQ(allow(ask("POST", "/v2/a/b/manifests/v1")), "GET, HEAD, PUT, DELETE");
  EXPECT_EQ(allow(ask("PUT", blob)), "GET, HEAD, DELETE");
  EXPECT_EQ(allow(ask("DELETE", blob)), "GET, HEAD") << "as long as a manifest needs it";
  EXPECT_EQ(allow(ask("GET", "/v2/a/b/blobs/uploads/")), "POST");
  EXPECT_EQ(allow(ask("POST", start_upload())), "GET, PATCH, PUT, DELETE");
  RegistryServer::Options options;
  options.settings.read_only = true;
  const TestRegistry other(std::move(options));
  const auto of_other = [&](std::string method, std::string_view target) {
    return allow(client_.send({.method = std::move(method), .url = other.url(target)}));
  };
  EXPECT_EQ(of_other("PUT", "/v2/x/manifests/v2"), "GET, HEAD");
  EXPECT_EQ(of_other("POST", "/v2/x/blobs/uploads/"), "") << "it has none now";
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
