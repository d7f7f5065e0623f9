// Immutable tags and quotas, as clients meet them.
#include "registry/server/registry_policies.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <latch>
#include <thread>

#include "tests/unit/registry/policy_registry.h"

namespace kiln::registry {
namespace {

using testing::HasSubstr;

PolicySettings immutable(std::vector<std::string> patterns) {
  PolicySettings out;
  out.immutable_tags = std::move(patterns);
  return out;
}

TEST(ImmutableTags, StayWhatTheyAre) {
  PolicyRegistry at(immutable({"v*"}));
  ASSERT_EQ(at.push_blob("a", "{}"), 201);
  const std::string first = manifest_of("{}", {}, "1"), second = manifest_of("{}", {}, "2");
  EXPECT_EQ(at.push("a", "v1", first).status, 201);
  EXPECT_EQ(at.push("a", "v1", first).status, 201) << "the same again changes nothing";
  const HttpResponse refused = at.push("a", "v1", second);
  EXPECT_EQ(refused.status, 409);
  EXPECT_EQ(error_code(refused), "DENIED");
  EXPECT_THAT(refused.body, HasSubstr("tag v1 of repository a is immutable"));
  EXPECT_EQ(at.ask("GET", "/v2/a/manifests/v1").body, first);
  EXPECT_EQ(at.push("a", "latest", first).status, 201);
  EXPECT_EQ(at.push("a", "latest", second).status, 201) << "no pattern means it";
  EXPECT_EQ(at.push("a", sha256(second).text() + "?tag=new&tag=v1", second).status, 409);
  EXPECT_EQ(at.get("a/manifests/new"), 404) << "all tags of a push, or none";
}

TEST(ImmutableTags, AreNotDeletedByTagOrByDigest) {
  PolicyRegistry at(immutable({"a:v*"}));
  ASSERT_EQ(at.push_blob("a", "{}"), 201);
  const std::string bytes = manifest_of("{}");
  for (const char* tag : {"v1", "latest"}) at.push("a", tag, bytes);
  at.push("b", "v1", bytes);
  EXPECT_EQ(at.ask("DELETE", "/v2/a/manifests/v1").status, 409);
  EXPECT_EQ(at.ask("DELETE", "/v2/a/manifests/" + sha256(bytes).text()).status, 409);
  EXPECT_EQ(at.get("a/manifests/latest"), 200) << "a refused delete removes nothing";
  EXPECT_EQ(at.ask("DELETE", "/v2/a/manifests/latest").status, 202);
  EXPECT_EQ(at.ask("DELETE", "/v2/b/manifests/" + sha256(bytes).text()).status, 202);
  EXPECT_EQ(at.ask("DELETE", "/v2/a/blobs/" + sha256("{}").text()).status, 405);
  EXPECT_EQ(at.get("a/manifests/v1"), 200);
}

TEST(ImmutableTags, HoldTheImagesOfTheirIndex) {
  PolicyRegistry at(immutable({"v*"}));
  ASSERT_EQ(at.push_blob("a", "{}"), 201);
  const std::string child = manifest_of("{}", {}, "child"), other = manifest_of("{}", {}, "other");
  for (const std::string& bytes : {child, other}) at.push("a", sha256(bytes).text(), bytes);
  at.push("a", "v1", index_of({child}));
  EXPECT_EQ(at.ask("DELETE", "/v2/a/manifests/" + sha256(child).text()).status, 409);
  EXPECT_EQ(at.ask("DELETE", "/v2/a/manifests/" + sha256(other).text()).status, 202);
}

TEST(ImmutableTags, OfTwoPushesAtOnceOneWins) {
  PolicyRegistry at(immutable({"*"}));
  ASSERT_EQ(at.push_blob("a", "{}"), 201);
  constexpr int kClients = 6;
  std::latch ready(kClients);
  std::atomic<int> taken = 0, refused = 0;
  {
    std::vector<std::jthread> clients;
    for (int i = 0; i < kClients; ++i)
      clients.emplace_back([&, i] {
        ready.arrive_and_wait();
        const int status = at.push("a", "v1", manifest_of("{}", {}, std::to_string(i))).status;
        ++(status == 201 ? taken : refused);
      });
  }
  EXPECT_EQ(taken, 1);
  EXPECT_EQ(refused, kClients - 1);
}

TEST(Quota, RefusesWhatWouldBeBeyondIt) {
  PolicySettings settings;
  settings.quotas = {{{"a"}, 1000}, {{"**"}, 3000}};
  PolicyRegistry at(settings);
  const std::string layer(900, 'x'), more(200, 'y');
  const auto fill = [&](const char* repository) {
    EXPECT_EQ(at.push_blob(repository, "{}"), 201);
    EXPECT_EQ(at.push_blob(repository, layer), 201);
    EXPECT_EQ(at.push_blob(repository, more), 201) << "nothing needs it yet";
    EXPECT_EQ(at.push(repository, "v1", manifest_of("{}", {layer})).status, 201);
  };
  fill("a");
  EXPECT_EQ(at.push("a", "v2", manifest_of("{}", {layer}, "again")).status, 201) << "shared blobs count once";
  const HttpResponse refused = at.push("a", "v3", manifest_of("{}", {layer, more}));
  EXPECT_EQ(refused.status, 403);
  EXPECT_EQ(error_code(refused), "DENIED");
  EXPECT_THAT(refused.body, HasSubstr("repository a may hold 1000 B; this would make it 1.1"));
  EXPECT_EQ(at.get("a/manifests/v3"), 404);
  EXPECT_EQ(at.push_blob("a", std::string(200, 'z')), 403) << "an upload that says its size is refused early";
  EXPECT_EQ(at.push_blob("a", std::string(50, 'z')), 201);
  fill("b");
  EXPECT_EQ(at.push("b", "v3", manifest_of("{}", {layer, more})).status, 201) << "the second rule's";
  EXPECT_EQ(at.ask("DELETE", "/v2/a/manifests/" + sha256(manifest_of("{}", {layer}, "again")).text()).status,
            202);
  EXPECT_EQ(at.ask("DELETE", "/v2/a/manifests/" + sha256(manifest_of("{}", {layer})).text()).status, 202);
  EXPECT_EQ(at.push("a", "v4", manifest_of("{}", {more})).status, 201) << "what was deleted does not count";
}

TEST(Quota, APushCountsWhileItIsUnderWay) {
  PolicySettings settings;
  settings.quotas = {{{"**"}, 1500}};
  PolicyRegistry at(settings);
  const std::string one(900, '1'), other(900, '2');
  for (const std::string& content : {std::string("{}"), one, other})
    for (const char* repository : {"a", "b"}) ASSERT_EQ(at.push_blob(repository, content), 201);
  const auto admit = [&](const char* repository, const std::string& layer) {
    const std::string bytes = manifest_of("{}", {layer});
    return at.policies.before_push(
        repository, {}, {std::string(media::kManifest), sha256(bytes), bytes.size(), {}, {}, {}, {}}, bytes);
  };
  auto first = admit("a", one);
  EXPECT_FALSE(first.refusal);
  EXPECT_TRUE(admit("a", other).refusal) << "together they would be beyond it";
  EXPECT_FALSE(admit("a", one).refusal) << "the same blobs count once";
  EXPECT_TRUE(admit("a", other).refusal) << "the first goes on";
  EXPECT_FALSE(admit("b", other).refusal) << "another repository's quota";
  first = {};
  EXPECT_FALSE(admit("a", other).refusal) << "the first came to nothing";
  EXPECT_EQ(at.push("a", "v1", manifest_of("{}", {other})).status, 201);
  EXPECT_TRUE(admit("a", one).refusal);
}

TEST(Quota, OfManyPushesAtOnceThoseAreTakenThatFit) {
  PolicySettings settings;
  settings.quotas = {{{"a"}, 3000}};
  PolicyRegistry at(settings);
  constexpr int kClients = 8;
  ASSERT_EQ(at.push_blob("a", "{}"), 201);
  const auto layer = [](int i) { return std::string(900, static_cast<char>('a' + i)); };
  for (int i = 0; i < kClients; ++i) ASSERT_EQ(at.push_blob("a", layer(i)), 201);
  std::latch ready(kClients);
  std::atomic<int> taken = 0;
  {
    std::vector<std::jthread> clients;
    for (int i = 0; i < kClients; ++i)
      clients.emplace_back([&, i] {
        ready.arrive_and_wait();
        if (at.push("a", "v" + std::to_string(i), manifest_of("{}", {layer(i)})).status == 201) ++taken;
      });
  }
  EXPECT_EQ(taken, 3);
}

TEST(Quota, CountsManifestsThatAreNoImages) {
  PolicySettings settings;
  settings.quotas = {{{"a"}, 1000}};
  PolicyRegistry at(settings);
  const auto push = [&](const char* tag, size_t size) {
    const std::string bytes = R"({"x":")" + std::string(size, tag[0]) + "\"}";
    return at.ask("PUT", std::string("/v2/a/manifests/") + tag, bytes, "application/vnd.example+json").status;
  };
  EXPECT_EQ(push("1", 600), 201);
  EXPECT_EQ(push("1", 600), 201) << "the same again";
  EXPECT_EQ(push("2", 600), 403);
  EXPECT_EQ(push("3", 300), 201);
  EXPECT_EQ(at.ask("DELETE", "/v2/a/manifests/" + std::string("1")).status, 202);
}

TEST(Quota, CountsWhatIsMounted) {
  PolicySettings settings;
  settings.quotas = {{{"small"}, 100}};
  PolicyRegistry at(settings);
  const std::string layer(900, 'x');
  at.push_blob("large", layer);
  at.push_blob("small", "{}");
  EXPECT_EQ(at.ask("POST", "/v2/small/blobs/uploads/?mount=" + sha256(layer).text() + "&from=large").status,
            201);
  EXPECT_EQ(at.push("small", "v1", manifest_of("{}", {layer})).status, 403);
}

}  // namespace
}  // namespace kiln::registry
