// Immutable tags, as clients meet them.
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

TEST(RegistryPolicies, RetentionRestsWhereNothingIsToBeDeleted) {
  PolicySettings settings;
  settings.retention = {{.repositories = {"**"}, .keep_last = 1}};
  EXPECT_TRUE(PolicyRegistry(settings).policies.retains());
  RegistrySettings read_only;
  read_only.read_only = true;
  EXPECT_FALSE(PolicyRegistry(settings, read_only).policies.retains());
}

}  // namespace
}  // namespace kiln::registry
