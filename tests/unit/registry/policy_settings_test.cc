#include "registry/server/policy_settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "tests/unit/registry/settings_text.h"

namespace kiln::registry {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(PolicySettings, AreReadFromTheTable) {
  const PolicySettings read = settings_of(R"(
immutable-tags = ["v*", "team/**:release"]
[[quota]]
repositories = "team/**"
bytes = "10GB"
[[retention]]
repositories = ["ci/**", "tmp"]
tags = "pr-*"
keep-last = 3
keep-for = "7d"
untagged-for = "12h"
[[retention]]
repositories = "**"
keep-last = 50
[[upstream]]
prefix = "mirror/base"
registry = "registry.example:5000/library"
tag-age = "1m"
[[notify]]
url = "https://hooks.example/in"
name = "ci"
format = "docker"
actions = ["push", "pull", "mount", "delete"]
token-file = "token"
[[notify]]
url = "http://other.example"
)")
                                  .policies;
  EXPECT_THAT(read.immutable_tags, ElementsAre("v*", "team/**:release"));
  ASSERT_EQ(read.quotas.size(), 1u);
  EXPECT_EQ(read.quotas[0].bytes, 10'000'000'000u);
  ASSERT_EQ(read.retention.size(), 2u);
  EXPECT_THAT(read.retention[0].repositories, ElementsAre("ci/**", "tmp"));
  EXPECT_THAT(read.retention[0].tags, ElementsAre("pr-*"));
  EXPECT_EQ(read.retention[0].keep_last, 3u);
  EXPECT_EQ(read.retention[0].keep_for, std::chrono::hours(7 * 24));
  EXPECT_EQ(read.retention[0].untagged_for, std::chrono::hours(12));
  EXPECT_THAT(read.retention[1].tags, ElementsAre("*"));
  EXPECT_FALSE(read.retention[1].keep_for || read.retention[1].untagged_for);
  ASSERT_EQ(read.upstreams.size(), 1u);
  EXPECT_EQ(read.upstreams[0].prefix, "mirror/base");
  EXPECT_EQ(read.upstreams[0].registry, "registry.example:5000/library");
  EXPECT_EQ(read.upstreams[0].tag_age, std::chrono::minutes(1));
  ASSERT_EQ(read.notifications.size(), 2u);
  EXPECT_EQ(read.notifications[0].name, "ci");
  EXPECT_EQ(read.notifications[0].format, NotificationTarget::Format::Docker);
  EXPECT_THAT(read.notifications[0].actions, ElementsAre("push", "pull", "mount", "delete"));
  EXPECT_EQ(read.notifications[0].token_file, "/etc/kiln/token") << "beside the file that names it";
  EXPECT_EQ(read.notifications[1].name, "http://other.example");
  EXPECT_EQ(read.notifications[1].format, NotificationTarget::Format::CloudEvents);
  EXPECT_THAT(read.notifications[1].actions, ElementsAre("push", "delete"));
}

TEST(PolicySettings, TheNearerFilesListReplacesTheOthers) {
  RegistrySettings out;
  out.apply(parse_toml("[[quota]]\nrepositories='a'\nbytes='1'\n[[notify]]\nurl='http://a.example'", "user"),
            "/u");
  out.apply(parse_toml("[[quota]]\nrepositories='b'\nbytes='2'", "project"), "/p");
  ASSERT_EQ(out.policies.quotas.size(), 1u);
  EXPECT_EQ(out.policies.quotas[0].bytes, 2u);
  EXPECT_EQ(out.policies.notifications.size(), 1u) << "what it does not name stays";
}

TEST(PolicySettings, SayWhatIsWrongWithThem) {
  const std::pair<const char*, const char*> cases[] = {
      {"immutable-tags = 1", "`immutable-tags` is neither a text nor a list"},
      {"quota = 1", "`quota` is no list of tables"},
      {"[[quota]]\nbytes = '1GB'", "[[registry.quota]]: `repositories` is missing"},
      {"[[quota]]\nrepositories = '**'", "`bytes` is missing"},
      {"[[quota]]\nrepositories = '**'\nbytes = '1 gigabyte'", "`bytes` is no size (write \"10GB\""},
      {"[[quota]]\nrepositories = '**'\nbytes = '1GB'\nbyte = 1", "did you mean `bytes`?"},
      {"[[retention]]\nkeep-last = 1", "`repositories` is missing"},
      {"[[retention]]\nrepositories = '**'", "a rule needs keep-last, keep-for or untagged-for"},
      {"[[retention]]\nrepositories = '**'\nkeep-last = -1", "`keep-last` is no whole number"},
      {"[[retention]]\nrepositories = '**'\nkeep-last = '3'", "`keep-last` is no whole number"},
      {"[[retention]]\nrepositories = '**'\nkeep-for = 'week'", "`keep-for` is no duration (write 30d"},
      {"[[retention]]\nrepositories = '**'\nkeep-for = 'd'", "`keep-for` is no duration"},
      {"[[retention]]\nrepositories = '**'\nkeep-for = '-1h'", "`keep-for` is no duration"},
      {"[[retention]]\nrepositories = '**'\nkeep-for = '200000d'", "`keep-for` is no duration"},
      {"[[upstream]]\nregistry = 'registry.example'", "`prefix` is missing"},
      {"[[upstream]]\nprefix = 'a'", "`registry` is missing"},
      {"[[upstream]]\nprefix = 'A/'\nregistry = 'registry.example'", "`prefix` is no repository's name"},
      {"[[upstream]]\nprefix = 'a'\nregistry = 'https://registry.example'", "`registry` is no registry"},
      {"[[upstream]]\nprefix = 'a'\nregistry = 'library'", "`registry` is no registry (write HOST"},
      {"[[upstream]]\nprefix = 'a'\nregistry = 'registry.example/'", "`registry` is no registry"},
      {"[[notify]]\nname = 'x'", "`url` is missing"},
      {"[[notify]]\nurl = 'hooks.example'", "`url` is no URL"},
      {"[[notify]]\nurl = 'https://user:secret@hooks.example'", "a password goes into token-file"},
      {"[[notify]]\nurl = 'http://a.example'\nformat = 'xml'", "there are docker and cloudevents"},
      {"[[notify]]\nurl = 'http://a.example'\nactions = ['pushes']", "does not know \"pushes\""},
      {"[[notify]]\nurl = 'http://a.example'\n[[notify]]\nurl = 'http://a.example'",
       "`name` \"http://a.example\" is another's already"}};
  for (const auto& [toml, words] : cases) EXPECT_THAT(problem(toml), HasSubstr(words)) << toml;
  for (const char* registry : {"localhost", "localhost:5000", "registry.example/a/b", "10.0.0.1:80"})
    EXPECT_EQ(problem("[[upstream]]\nprefix = 'a/b'\nregistry = '" + std::string(registry) + "'"),
              "accepted");
}

TEST(PolicySettings, ReadSizes) {
  const std::pair<const char*, std::optional<uint64_t>> cases[] = {{"0", 0},
                                                                   {"1000", 1000},
                                                                   {"1kB", 1000},
                                                                   {"1 KB", 1000},
                                                                   {"3MB", 3'000'000},
                                                                   {"2KiB", 2048},
                                                                   {"1MiB", 1u << 20},
                                                                   {"1TiB", 1ull << 40},
                                                                   {"5TB", 5'000'000'000'000},
                                                                   {"", std::nullopt},
                                                                   {"GB", std::nullopt},
                                                                   {"-1", std::nullopt},
                                                                   {"1.5GB", std::nullopt},
                                                                   {"1XB", std::nullopt},
                                                                   {"20000000TB", std::nullopt},
                                                                   {"99999999999999999999", std::nullopt}};
  for (const auto& [text, bytes] : cases) EXPECT_EQ(parse_bytes(text), bytes) << text;
}

TEST(PolicySettings, TellWhichTagsAreImmutable) {
  PolicySettings policies;
  policies.immutable_tags = {"v*", "team/*:release"};
  EXPECT_TRUE(policies.is_immutable("any/where", "v1.2"));
  EXPECT_FALSE(policies.is_immutable("any/where", "latest"));
  EXPECT_TRUE(policies.is_immutable("team/app", "release"));
  EXPECT_FALSE(policies.is_immutable("team/app/part", "release"));
  EXPECT_FALSE(policies.is_immutable("app", "release"));
}

TEST(PolicySettings, TheFirstQuotaThatMeansARepositoryCounts) {
  PolicySettings policies;
  policies.quotas = {{{"team/app"}, 1}, {{"team/**", "x"}, 2}};
  EXPECT_EQ(policies.quota_of("team/app")->bytes, 1u);
  EXPECT_EQ(policies.quota_of("team/app/part")->bytes, 2u);
  EXPECT_EQ(policies.quota_of("x")->bytes, 2u);
  EXPECT_EQ(policies.quota_of("y"), nullptr);
}

}  // namespace
}  // namespace kiln::registry
