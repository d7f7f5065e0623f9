#include "registry/client/credentials.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/text.h"
#include "registry/client/challenge.h"
#include "tests/unit/registry/bad_registry.h"

namespace kiln::registry {
namespace {

using testing::HasSubstr;

TEST(Credentials, TheMostSpecificKeyWins) {
  TempDir home;
  const auto auth = [](const std::string& user) {
    return R"({"auth":")" + base64_encode(user + ":p:w") + "\"}";
  };
  make_dirs(home.path() / ".docker");
  write_file(home.path() / ".docker/config.json", R"({"auths":{"r.io":)" + auth("host") + R"(,"r.io/team":)" +
                                                      auth("team") + R"(,"r.io/team/app":)" + auth("app") +
                                                      R"(,"https://index.docker.io/v1/":)" + auth("hub") +
                                                      R"(,"t.io":{"identitytoken":"tok"}}})");
  const CredentialFiles files({{"HOME", home.path().string()}});
  EXPECT_EQ(files.find("r.io", "team/app").username, "app");
  EXPECT_EQ(files.find("r.io", "team/app").password, "p:w");
  EXPECT_EQ(files.find("r.io", "team/other").username, "team");
  EXPECT_EQ(files.find("r.io", "x").username, "host");
  EXPECT_EQ(files.find("docker.io", "library/alpine").username, "hub");
  EXPECT_EQ(files.find("t.io", "x").identity_token, "tok");
  EXPECT_TRUE(files.find("other.io", "x").empty());
  // podman's file goes first
  make_dirs(home.path() / "run/containers");
  write_file(home.path() / "run/containers/auth.json", R"({"auths":{"r.io":)" + auth("podman") + "}}");
  const CredentialFiles both(
      {{"HOME", home.path().string()}, {"XDG_RUNTIME_DIR", (home.path() / "run").string()}});
  EXPECT_EQ(both.find("r.io", "team/app").username, "podman");
}

TEST(Credentials, NoneAreLostWhenManyAreSavedAtOnce) {
  TempDir home;
  const CredentialFiles files({{"HOME", home.path().string()}});
  const auto host = [](int writer, int i) { return "r" + std::to_string(writer * 10 + i) + ".example"; };
  {
    std::vector<std::jthread> writers;
    for (int writer = 0; writer < 4; ++writer)
      writers.emplace_back([&, writer] {
        for (int i = 0; i < 10; ++i) files.save(host(writer, i), {"me", "pw", {}});
        files.erase(host(writer, 0));
      });
  }
  for (int writer = 0; writer < 4; ++writer)
    for (int i = 0; i < 10; ++i)
      EXPECT_EQ(files.find(host(writer, i), "x").empty(), i == 0) << host(writer, i);
}

TEST(Credentials, AreSavedAndErasedWithoutTouchingTheRest) {
  TempDir home;
  const CredentialFiles files({{"HOME", home.path().string()}});
  make_dirs(home.path() / ".docker");
  write_file(home.path() / ".docker/config.json", R"({"experimental":"on"})");
  files.save("r.io", {"me", "pw", {}});
  files.save("docker.io", {"hub", "pw", {}});
  EXPECT_EQ(files.find("r.io", "x").password, "pw");
  EXPECT_EQ(files.find("index.docker.io", "x").username, "hub");
  EXPECT_TRUE(files.erase("r.io"));
  EXPECT_FALSE(files.erase("r.io"));
  EXPECT_THAT(read_file(home.path() / ".docker/config.json"), HasSubstr("experimental"));
}

TEST(Credentials, HelpersAreAskedFirst) {
  TempDir home;
  write_file(home.path() / "docker-credential-test",
             "#!/bin/sh\nread key\n[ \"$key\" = r.io ] || { echo credentials not found in native keychain; "
             "exit 1; }\n"
             "echo '{\"Username\":\"<token>\",\"Secret\":\"refresh\"}'\n",
             0755);
  make_dirs(home.path() / ".docker");
  write_file(home.path() / ".docker/config.json", R"({"credsStore":"test"})");
  const char* path = ::getenv("PATH");
  const std::string before = path ? path : "";
  ::setenv("PATH", (home.path().string() + ":" + before).c_str(), 1);
  const OnExit restore([&] { ::setenv("PATH", before.c_str(), 1); });
  const CredentialFiles files({{"HOME", home.path().string()}, {"PATH", before}});
  EXPECT_EQ(files.find("r.io", "x").identity_token, "refresh");
  EXPECT_TRUE(files.find("other.io", "x").empty());
}

TEST(Challenges, AreReadAsServersWriteThem) {
  const auto challenges =
      parse_challenges(R"(Bearer realm="https://a/t?x=1,2",service=reg, scope="a\"b" , Basic realm=x)");
  ASSERT_EQ(challenges.size(), 2u);
  EXPECT_EQ(challenges[0].scheme, "bearer");
  EXPECT_EQ(challenges[0].parameters.at("realm"), "https://a/t?x=1,2");
  EXPECT_EQ(challenges[0].parameters.at("scope"), "a\"b");
  EXPECT_EQ(challenges[1].scheme, "basic");
  EXPECT_TRUE(parse_challenges("\"").empty());
}

}  // namespace
}  // namespace kiln::registry
