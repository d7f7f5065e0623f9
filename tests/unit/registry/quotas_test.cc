// Quotas, as clients meet them: what is on disk because of a repository counts, however it came there.
#include "registry/server/quotas.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <latch>
#include <thread>

#include "base/clock.h"
#include "registry/server/upload_record.h"
#include "registry/store/collect.h"
#include "tests/unit/registry/policy_registry.h"

namespace kiln::registry {
namespace {

using testing::HasSubstr;

PolicySettings quota(uint64_t bytes, std::vector<std::string> repositories = {"a"}) {
  PolicySettings out;
  out.quotas = {{std::move(repositories), bytes}};
  return out;
}

std::string location_of_upload(const PolicyRegistry& at, const std::string& repository) {
  return std::string(at.ask("POST", "/v2/" + repository + "/blobs/uploads/").headers.get("Location"));
}

// Everything that nothing leads to.
void collect_now(PolicyRegistry& at) {
  collect(at.store, {.grace = Duration::zero()});
}

TEST(Quota, RefusesWhatWouldBeBeyondIt) {
  PolicySettings settings;
  settings.quotas = {{{"a"}, 100'000}, {{"**"}, 300'000}};
  PolicyRegistry at(settings);
  const std::string layer(60'000, 'x'), more(30'000, 'y'), large(50'000, 'z');
  for (const char* repository : {"a", "b"}) {
    EXPECT_EQ(at.push_blob(repository, "{}"), 201);
    EXPECT_EQ(at.push_blob(repository, layer), 201);
    EXPECT_EQ(at.push(repository, "v1", manifest_of("{}", {layer})).status, 201);
  }
  EXPECT_EQ(at.push("a", "v2", manifest_of("{}", {layer}, "again")).status, 201) << "shared blobs count once";
  const HttpResponse refused = at.ask("POST", "/v2/a/blobs/uploads/?digest=" + sha256(large).text(), large);
  EXPECT_EQ(refused.status, 403);
  EXPECT_EQ(error_code(refused), "DENIED");
  EXPECT_THAT(refused.body, HasSubstr("repository a may hold 97.7 KiB; this would make it 108"));
  EXPECT_EQ(at.push_blob("a", more), 201);
  EXPECT_EQ(at.push("a", "v3", manifest_of("{}", {layer, more})).status, 201);
  EXPECT_EQ(at.push("a", "v4", manifest_of("{}", {layer}, std::string(20'000, 's'))).status, 403)
      << "manifests count, too";
  EXPECT_EQ(at.get("a/manifests/v4"), 404);
  EXPECT_EQ(at.push_blob("b", large), 201) << "the second rule's";
}

TEST(Quota, CountsWhatAnUploadHasReceived) {
  PolicyRegistry at(quota(100'000));
  const std::string part(60'000, 'x');
  const std::string first = location_of_upload(at, "a"), second = location_of_upload(at, "a");
  EXPECT_EQ(at.ask("PATCH", first, part).status, 202);
  const HttpResponse refused = at.ask("PATCH", second, part);
  EXPECT_EQ(refused.status, 403);
  EXPECT_THAT(refused.body, HasSubstr("of which no manifest needs"));
  EXPECT_EQ(at.ask("GET", second).status, 404) << "it does not hold what others could have";
  EXPECT_EQ(at.ask("PATCH", location_of_upload(at, "b"), part).status, 202) << "no rule means it";
  EXPECT_EQ(at.ask("DELETE", first).status, 204);
  const std::string third = location_of_upload(at, "a");
  EXPECT_EQ(at.ask("PATCH", third, part).status, 202);
  EXPECT_EQ(at.ask("PUT", third + "?digest=" + sha256(part).text()).status, 201);
  EXPECT_EQ(at.ask("PATCH", location_of_upload(at, "a"), std::string(30'000, 'y')).status, 202)
      << "a blob that came counts once";
}

TEST(Quota, EndsAnUploadWhileItComes) {
  PolicyRegistry at(quota(500'000));
  const std::string location = location_of_upload(at, "a");
  EXPECT_EQ(at.ask("PATCH", location, std::string(900'000, 'x')).status, 403);
  EXPECT_EQ(at.ask("GET", location).status, 404);
  EXPECT_TRUE(fs::is_empty(at.store.root() / Store::kUploads));
}

TEST(Quota, AnUploadThatIsTooOldMakesRoomForTheNext) {
  PolicyRegistry at(quota(100'000));
  ASSERT_EQ(at.ask("PATCH", location_of_upload(at, "a"), std::string(60'000, 'x')).status, 202);
  EXPECT_EQ(at.push_blob("a", std::string(60'000, 'y')), 403);
  at.clock.advance(std::chrono::hours(2));
  EXPECT_EQ(at.push_blob("a", std::string(60'000, 'y')), 201);
}

TEST(Quota, CountsWhatNoManifestNeedsUntilItIsCollected) {
  PolicyRegistry at(quota(100'000));
  const std::string one(60'000, '1'), other(60'000, '2');
  EXPECT_EQ(at.push_blob("a", one), 201);
  EXPECT_EQ(at.push_blob("a", other), 403);
  EXPECT_EQ(at.ask("DELETE", "/v2/a/blobs/" + sha256(one).text()).status, 202);
  EXPECT_EQ(at.push_blob("a", other), 403) << "it is still on disk";
  collect_now(at);
  EXPECT_EQ(at.push_blob("a", other), 201);
}

TEST(Quota, CountsWhatWasDeletedUntilItIsCollected) {
  PolicyRegistry at(quota(100'000));
  ASSERT_EQ(at.push_blob("a", "{}"), 201);
  const auto push = [&](const char* salt) {
    return at.push("a", "v1", manifest_of("{}", {}, std::string(60'000, salt[0]))).status;
  };
  EXPECT_EQ(push("1"), 201);
  const std::string digest(at.ask("HEAD", "/v2/a/manifests/v1").headers.get("Docker-Content-Digest"));
  EXPECT_EQ(at.ask("DELETE", "/v2/a/manifests/" + digest).status, 202);
  EXPECT_EQ(push("2"), 403);
  collect_now(at);
  ASSERT_EQ(at.push_blob("a", "{}"), 201) << "went, too";
  EXPECT_EQ(push("2"), 201);
}

TEST(Quota, AnotherRepositorysImageDoesNotKeepWhatThisOneHasLetGo) {
  PolicyRegistry at(quota(100'000));
  const std::string layer(60'000, 'x');
  for (const std::string& content : {std::string("{}"), layer}) ASSERT_EQ(at.push_blob("a", content), 201);
  ASSERT_EQ(at.push("b", "v1", manifest_of("{}", {layer})).status, 201);
  collect_now(at);
  EXPECT_TRUE(at.store.has(sha256(layer)));
  EXPECT_EQ(at.push_blob("a", std::string(60'000, 'y')), 201);
}

TEST(Quota, CountsWhatTheProcessBeforeHasLeft) {
  PolicyRegistry at(quota(100'000));
  ASSERT_EQ(at.push_blob("a", std::string(30'000, 'x')), 201);
  const fs::path upload = at.store.root() / Store::kUploads / std::string(32, 'a');
  write_file(upload, std::string(30'000, 'y'));
  write_file(upload.string() + ".session", detail::UploadRecord{"a", "sha256", 0, boot_id()}.text());
  RegistryPolicies next(at.store, at.client, {.settings = quota(100'000), .clock = &at.clock});
  EXPECT_TRUE(next.before_upload("a", 50'000));
  EXPECT_FALSE(next.before_upload("a", 40'000));
  EXPECT_TRUE(next.before_upload("a", UINT64_MAX));
  {
    const auto resumed = next.count_upload("a", std::string(32, 'a'), 30'000);
    EXPECT_TRUE(next.before_upload("a", 50'000)) << "once";
    EXPECT_FALSE(next.before_upload("a", 40'000));
  }
  RegistryPolicies third(at.store, at.client, {.settings = quota(100'000), .clock = &at.clock});
  EXPECT_TRUE(third.before_upload("a", 50'000));
  fs::remove(upload);
  EXPECT_FALSE(third.before_upload("a", 50'000)) << "it was swept";
}

TEST(Quota, APushCountsWhileItIsUnderWay) {
  PolicyRegistry at(quota(1500, {"a", "b"}));
  const std::string one(900, '1'), other(900, '2');
  for (const std::string& content : {std::string("{}"), one, other})
    ASSERT_EQ(at.push_blob("elsewhere", content), 201);
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

// How many of eight clients that do it at the same moment are let in.
int taken_of_eight(const std::function<int(int)>& push) {
  constexpr int kClients = 8;
  std::latch ready(kClients);
  std::atomic<int> taken = 0;
  {
    std::vector<std::jthread> clients;
    for (int i = 0; i < kClients; ++i)
      clients.emplace_back([&, i] {
        ready.arrive_and_wait();
        if (push(i) == 201) ++taken;
      });
  }
  return taken;
}

std::string layer_of(int i) {
  return std::string(9000, static_cast<char>('a' + i));
}

TEST(Quota, OfManyPushesAtOnceThoseAreTakenThatFit) {
  PolicyRegistry at(quota(30'000));
  ASSERT_EQ(at.push_blob("elsewhere", "{}"), 201);
  for (int i = 0; i < 8; ++i) ASSERT_EQ(at.push_blob("elsewhere", layer_of(i)), 201);
  EXPECT_EQ(taken_of_eight([&](int i) {
              return at.push("a", "v" + std::to_string(i), manifest_of("{}", {layer_of(i)})).status;
            }),
            3);
}

TEST(Quota, OfManyUploadsAtOnceThoseAreTakenThatFit) {
  PolicyRegistry at(quota(30'000));
  EXPECT_EQ(taken_of_eight([&](int i) { return at.push_blob("a", layer_of(i)); }), 3);
}

TEST(Quota, CountsManifestsThatAreNoImages) {
  PolicyRegistry at(quota(1000));
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
  PolicyRegistry at(quota(1000));
  const std::string small(600, 'x'), other(600, 'y');
  for (const std::string& content : {small, other}) at.push_blob("large", content);
  const auto mount = [&](const std::string& content) {
    return at.ask("POST", "/v2/a/blobs/uploads/?mount=" + sha256(content).text() + "&from=large").status;
  };
  EXPECT_EQ(mount(small), 201);
  EXPECT_EQ(mount(small), 201) << "once";
  EXPECT_EQ(mount(other), 403);
}

}  // namespace
}  // namespace kiln::registry
