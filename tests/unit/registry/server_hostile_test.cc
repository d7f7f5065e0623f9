// What a stranger who may push sends to harm others: nothing of it may stay, or stand in another's way.
#include <atomic>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/text.h"
#include "registry/server/entry_notes.h"
#include "registry/server/registry_hooks.h"
#include "registry/server/server.h"
#include "registry/store/index_full.h"
#include "tests/unit/registry/fixtures.h"

namespace kiln::registry {
namespace {

using nlohmann::json;
using testing::HasSubstr;

constexpr const char* kForeignType = "application/vnd.example.thing.v1+json";

HttpResponse send(const TestRegistry& registry, HttpClient& client, std::string method,
                  std::string_view target, std::string body = {}, std::string type = {}) {
  HttpHeaders headers;
  if (!type.empty()) headers.add("Content-Type", std::move(type));
  return client.send({.method = std::move(method),
                      .url = registry.url(target),
                      .headers = std::move(headers),
                      .body = HttpBody::of_text(std::move(body))});
}

class HostileServer : public testing::Test {
 protected:
  HttpResponse ask(std::string method, std::string_view target, std::string body = {},
                   std::string type = {}) {
    return send(registry_, client_, std::move(method), target, std::move(body), std::move(type));
  }
  TestRegistry registry_;
  HttpClient client_;
};

std::string nested(const Digest& subject, size_t depth) {
  const json about{{"mediaType", media::kManifest}, {"digest", subject.text()}, {"size", 1}};
  return R"({"schemaVersion":2,"subject":)" + about.dump() + R"(,"annotations":{"a":)" +
         std::string(depth, '[') + std::string(depth, ']') + "}}";
}

TEST_F(HostileServer, RefusesManifestsOfAnyTypeThatAreNestedTooDeeply) {
  const Digest subject = sha256("subject");
  for (const char* type : {kForeignType, media::kManifest.data(), media::kIndex.data()})
    EXPECT_EQ(ask("PUT", "/v2/a/manifests/deep", nested(subject, 1'000'000), type).status, 400) << type;
  EXPECT_EQ(ask("GET", "/v2/a/referrers/" + subject.text()).status, 200);
}

TEST_F(HostileServer, RefusesMembersOfTheWrongType) {
  const json subject{{"mediaType", media::kManifest}, {"digest", sha256("s").text()}, {"size", 1}};
  for (const json& wrong : {json{{"artifactType", 5}}, json{{"annotations", {{"a", 1}}}},
                            json{{"annotations", "a"}}, json{{"mediaType", {1}}}, json{{"subject", 5}}}) {
    json document{{"schemaVersion", 2}, {"subject", subject}};
    document.update(wrong);
    const HttpResponse answer = ask("PUT", "/v2/a/manifests/x", document.dump(), kForeignType);
    EXPECT_EQ(answer.status, 400) << document;
    EXPECT_THAT(answer.body, HasSubstr("MANIFEST_INVALID"));
  }
}

TEST_F(HostileServer, ListsReferrersAmongWhichOneCannotBeRead) {
  const Digest subject = sha256("subject");
  const auto enter = [&](const std::string& bytes) {
    Descriptor entry = registry_.store.put(bytes, kForeignType);
    entry.annotations = {{Store::kRepository, "a"}, {kSubject, subject.text()}};
    registry_.store.update([&](IndexEdit& edit) { edit.add(entry); });
  };
  enter(nested(subject, 1'000'000));
  enter(R"({"artifactType":5})");
  enter(R"({"artifactType":"application/good"})");
  const HttpResponse answer =
      ask("GET", "/v2/a/referrers/" + subject.text() + "?artifactType=application/good");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(json::parse(answer.body)["manifests"].size(), 1u) << answer.body;
}

TEST_F(HostileServer, AnswersWhenItsOwnCodeThrows) {
  struct Hooks final : RegistryHooks {
    Admission before_push(std::string_view, std::span<const std::string>, const Descriptor&,
                          std::string_view) override {
      throw std::logic_error("a slip");
    }
  } hooks;
  RegistryServer::Options options;
  options.hooks = &hooks;
  const TestRegistry other(std::move(options));
  const HttpResponse answer =
      send(other, client_, "PUT", "/v2/a/manifests/x", R"({"manifests":[]})", std::string(media::kIndex));
  EXPECT_EQ(answer.status, 500);
  EXPECT_EQ(json::parse(answer.body)["errors"][0]["message"], "a slip");
}

TEST_F(HostileServer, TakesJsonTypesOnly) {
  const auto put = [&](const std::string& type) {
    return ask("PUT", "/v2/a/manifests/x", R"({"a":"<script>"})", type).status;
  };
  for (const char* good : {"application/json", kForeignType, "application/json; charset=utf-8",
                           "application/vnd.docker.distribution.manifest.v1+prettyjws"})
    EXPECT_EQ(put(good), 201) << good;
  for (const std::string& bad : {std::string("text/html"), std::string("image/svg+xml"), std::string("+json"),
                                 std::string("a/b/+json"), std::string("a b/c+json"),
                                 "application/" + std::string(250, 'a') + "+json"})
    EXPECT_EQ(put(bad), 400) << bad;
}

TEST_F(HostileServer, LetsNoBrowserTakeAnAnswerForAPage) {
  const Digest blob = registry_.store.put("<html>", media::kLayer).digest;
  ask("PUT", "/v2/a/manifests/x", "{}", kForeignType);
  for (const std::string& target : {std::string("/v2/"), "/v2/a/blobs/" + blob.text(),
                                    std::string("/v2/a/manifests/x"), std::string("/v2/a/manifests/none")}) {
    const HttpHeaders headers = ask("GET", target).headers;
    EXPECT_EQ(headers.get("X-Content-Type-Options"), "nosniff") << target;
    EXPECT_EQ(headers.get("Content-Security-Policy"), "default-src 'none'; sandbox") << target;
  }
}

TEST_F(HostileServer, TakesALimitedNumberOfTagsAtOnce) {
  const auto put = [&](int count) {
    std::string target = "/v2/a/manifests/" + sha256("{}").text();
    for (int i = 0; i < count; ++i) target += std::string(i == 0 ? "?" : "&") + "tag=t" + std::to_string(i);
    return ask("PUT", target, "{}", kForeignType).status;
  };
  EXPECT_EQ(put(32), 201);
  EXPECT_EQ(put(33), 414);
}

// The store reads an index of so many bytes, so it must not write a larger one.
TEST_F(HostileServer, CannotFillTheIndexBeyondWhatIsRead) {
  const std::string file = registry_.store.root() / "index.json";
  const std::string filler(size_t{64u << 20} - 100, 'x');
  write_file_atomic(file, R"({"schemaVersion":2,"filler":")" + filler + R"(","manifests":[]})");
  const HttpResponse first = ask("PUT", "/v2/a/manifests/one", "{}", kForeignType);
  EXPECT_EQ(first.status, 507) << first.body;
  EXPECT_THAT(first.body, HasSubstr("full"));
  EXPECT_EQ(ask("GET", "/v2/_catalog").status, 200);
  const Descriptor small{kForeignType, sha256("{}"), 2, {}, {}, {}, {}};
  EXPECT_THROW(registry_.store.tag("b:one", small), IndexFull);
  EXPECT_TRUE(registry_.store.list().empty());
}

// `kiln run` and `kiln build` run what these names mean.
TEST_F(HostileServer, TakesNothingUnderNamesThatTheMachineRunsItself) {
  const Digest run = registry_.store.put("{}", kForeignType).digest;
  registry_.store.tag("kiln/run:latest", {kForeignType, run, 2, {}, {}, {}, {}});
  for (const auto& [method, target] :
       std::vector<std::pair<std::string, std::string>>{{"PUT", "/v2/kiln/run/manifests/latest"},
                                                        {"DELETE", "/v2/kiln/run/manifests/latest"},
                                                        {"POST", "/v2/kiln/build/blobs/uploads/"}}) {
    const HttpResponse answer = ask(method, target, "{\"a\":1}", kForeignType);
    EXPECT_EQ(answer.status, 403) << method << " " << target;
    EXPECT_THAT(answer.body, HasSubstr("own-images = true"));
  }
  EXPECT_EQ(ask("GET", "/v2/kiln/run/manifests/latest").body, "{}");
  EXPECT_EQ(ask("PUT", "/v2/kilns/run/manifests/latest", "{}", kForeignType).status, 201);
  RegistryServer::Options options;
  options.settings.own_images = true;
  const TestRegistry open(std::move(options));
  EXPECT_EQ(send(open, client_, "PUT", "/v2/kiln/run/manifests/latest", "{}", kForeignType).status, 201);
}

// Whoever is told "201" for a manifest finds its blobs, whatever others delete at the same moment.
TEST_F(HostileServer, DeletesNoBlobThatAManifestHasComeToNeed) {
  for (int i = 0; i < 100; ++i) {  // what a delete has to read
    const Image other = make_image(registry_.store, {}, std::to_string(i));
    registry_.store.tag("other:t" + std::to_string(i), other.descriptor);
  }
  const auto upload = [&](const std::string& content) {
    EXPECT_EQ(ask("POST", "/v2/a/blobs/uploads/?digest=" + sha256(content).text(), content).status, 201);
  };
  upload("{}");
  for (int round = 0; round < 60; ++round) {
    const std::string layer = "layer " + std::to_string(round);
    upload(layer);
    const std::string target = "/v2/a/blobs/" + sha256(layer).text();
    const Descriptor config{std::string(media::kConfig), sha256("{}"), 2, {}, {}, {}, {}};
    const Descriptor part{std::string(media::kLayer), sha256(layer), layer.size(), {}, {}, {}, {}};
    const std::string manifest = serialize(Manifest{std::string(media::kManifest), config, {part}, {}});
    int removed = 0;
    std::thread other([&] {
      HttpClient client;
      removed = send(registry_, client, "DELETE", target).status;
    });
    const int put = ask("PUT", "/v2/a/manifests/t", manifest, std::string(media::kManifest)).status;
    other.join();
    EXPECT_TRUE(put == 201 || removed == 202) << put << " " << removed;
    EXPECT_EQ(ask("HEAD", target).status, put == 201 ? 200 : 404);
  }
}

}  // namespace
}  // namespace kiln::registry
