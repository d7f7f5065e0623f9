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

// A credential helper that keeps one secret in a file, and its calls in another.
class Helper : public testing::Test {
 protected:
  Helper() {
    write_file(
        home_.path() / "docker-credential-test",
        "#!/bin/sh\ncd \"$HOME\"\necho \"$1\" >>calls\ncase $1 in\n"
        "store) cat >kept;;\nerase) rm kept;;\n"
        "get) cat kept 2>/dev/null || { echo credentials not found in native keychain; exit 1; };;\nesac\n",
        0755);
    make_dirs(home_.path() / ".docker");
    ::setenv("PATH", (home_.path().string() + ":" + before_).c_str(), 1);
  }
  ~Helper() override { ::setenv("PATH", before_.c_str(), 1); }
  CredentialFiles with(const std::string& config) {
    write_file(file_, config);
    return CredentialFiles({{"HOME", home_.path().string()}, {"PATH", before_}});
  }
  TempDir home_;
  const std::string before_ = ::getenv("PATH");
  const fs::path file_ = home_.path() / ".docker/config.json";
};

TEST_F(Helper, IsGivenTheCredentialsAndAskedToForgetThem) {
  for (const char* config : {R"({"credsStore":"test","auths":{"r.io":{"auth":"b2xkOnB3"}}})",
                             R"({"credHelpers":{"r.io":"test"},"auths":{"r.io":{"auth":"b2xkOnB3"}}})"}) {
    const CredentialFiles files = with(config);
    files.save("r.io", {"me", "s3cret", {}});
    EXPECT_EQ(files.find("r.io", "x").username, "me");
    EXPECT_EQ(files.find("r.io", "x").password, "s3cret");
    EXPECT_THAT(read_file(file_), testing::Not(HasSubstr("b2xkOnB3")));
    EXPECT_THAT(read_file(file_), testing::Not(HasSubstr("\"auth\"")));
    EXPECT_THAT(read_file(home_.path() / "kept"), HasSubstr(R"("ServerURL":"r.io")"));
    EXPECT_TRUE(files.erase("r.io"));
    EXPECT_TRUE(files.find("r.io", "x").empty());
    EXPECT_FALSE(files.erase("r.io"));
  }
}

TEST_F(Helper, OfNoNameMeansTheFileItself) {
  const CredentialFiles files = with(R"({"credsStore":"test","credHelpers":{"r.io":""}})");
  files.save("r.io", {"me", "pw", {}});
  EXPECT_EQ(files.find("r.io", "x").username, "me");
  EXPECT_TRUE(files.find("r.io", "x").identity_token.empty());
  EXPECT_TRUE(files.erase("r.io"));
  EXPECT_TRUE(files.find("r.io", "x").empty());
  EXPECT_FALSE(fs::exists(home_.path() / "calls"));
}

TEST_F(Helper, DoesNotKnowPartsOfARegistry) {
  const CredentialFiles files = with(R"({"credsStore":"test"})");
  files.save("r.io/team", {"me", "pw", {}});
  EXPECT_FALSE(fs::exists(home_.path() / "calls"));
  EXPECT_EQ(files.find("r.io", "team/app").username, "me");
}

TEST(Credentials, OfAPartOfARegistryAreKeptApart) {
  TempDir home;
  const CredentialFiles files({{"HOME", home.path().string()}});
  files.save("r.io", {"host", "pw", {}});
  files.save("r.io/team", {"team", "pw", {}});
  EXPECT_EQ(files.find("r.io", "team/app").username, "team");
  EXPECT_EQ(files.find("r.io", "other").username, "host");
  EXPECT_TRUE(files.erase("r.io/team"));
  EXPECT_EQ(files.find("r.io", "team/app").username, "host");
}

TEST(Credentials, AnEmptyFileHasNone) {
  TempDir home;
  make_dirs(home.path() / ".docker");
  write_file(home.path() / ".docker/config.json", "\n");
  const CredentialFiles files({{"HOME", home.path().string()}});
  EXPECT_TRUE(files.find("r.io", "x").empty());
  files.save("r.io", {"me", "pw", {}});
  EXPECT_EQ(files.find("r.io", "x").username, "me");
}

TEST(Credentials, ARegistryTokenIsReadAsItIs) {
  TempDir home;
  make_dirs(home.path() / ".docker");
  write_file(home.path() / ".docker/config.json", R"({"auths":{"r.io":{"registrytoken":"tok"}}})");
  const CredentialFiles files({{"HOME", home.path().string()}});
  EXPECT_EQ(files.find("r.io", "x").registry_token, "tok");
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
