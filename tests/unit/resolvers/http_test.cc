#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/digest.h"
#include "tests/unit/resolvers/world.h"

namespace kiln::resolvers {
namespace {

using testing::HasSubstr;

TEST(HttpResolver, FetchesAnewEachTime) {
  World world;
  Pages pages;
  pages.put("/task.yaml", {200, task_named("one")});
  EXPECT_EQ(world.fetch("http", {{"url", pages.url("/task.yaml")}}), task_named("one"));
  EXPECT_THAT(world.log.back().source, HasSubstr(sha256(task_named("one")).text()));
  pages.put("/task.yaml", {200, task_named("two")});
  EXPECT_EQ(world.fetch("http", {{"url", pages.url("/task.yaml")}}), task_named("two"));
  EXPECT_FALSE(world.log.back().cached);
}

TEST(HttpResolver, ADigestIsCheckedAndMakesTheDocumentKnown) {
  World world;
  Pages pages;
  pages.put("/task.yaml", {200, task_named("one")});
  std::map<std::string, std::string> params{{"url", pages.url("/task.yaml")},
                                            {"digest", sha256("something else").text()}};
  EXPECT_THAT(world.error("http", params).message(), HasSubstr("error validating digest: sha mismatch"));
  params["digest"] = sha256(task_named("one")).text();
  EXPECT_EQ(world.fetch("http", params), task_named("one"));
  pages.stop();
  EXPECT_EQ(world.fetch("http", params), task_named("one"));
  EXPECT_TRUE(world.log.back().cached);
  params["digest"] = "md5:0";
  EXPECT_THAT(world.error("http", params).message(), HasSubstr("invalid digest format: md5:0"));
}

TEST(HttpResolver, FollowsRedirectsButNeverToAFile) {
  World world;
  Pages pages;
  pages.put("/a", {301, "", {{"Location", "/b"}}});
  pages.put("/b", {307, "", {{"Location", pages.url("/task.yaml")}}});
  pages.put("/task.yaml", {200, task_named("one")});
  pages.put("/file", {302, "", {{"Location", "file:///etc/hostname"}}});
  pages.put("/round", {302, "", {{"Location", "/round"}}});
  EXPECT_EQ(world.fetch("http", {{"url", pages.url("/a")}}), task_named("one"));
  EXPECT_THAT(world.error("http", {{"url", pages.url("/file")}}).message(),
              HasSubstr("redirects to file:///etc/hostname, which is not followed"));
  EXPECT_THAT(world.error("http", {{"url", pages.url("/round")}}).message(),
              HasSubstr("redirects in circles"));
}

TEST(HttpResolver, OnlyHttpUrlsAreAsked) {
  World world;
  for (const std::string url : {"file:///etc/hostname", "ftp://host/x", "task.yaml", "https://user@host/x"}) {
    const Error error = world.error("http", {{"url", url}});
    EXPECT_EQ(error.kind(), ErrorKind::Invalid);
    EXPECT_EQ(error.message(), "url " + url + " is not a valid http(s) url");
  }
  EXPECT_EQ(world.error("http", {{"uri", "http://x"}}).message(),
            "missing required http resolver params: url");
}

TEST(HttpResolver, OtherAnswersAreErrorsOfTheirOwn) {
  World world;
  Pages pages;
  pages.put("/secret", {401, "who are you?"});
  pages.put("/broken", {500, "oh"});
  pages.put("/empty", {200, " \n"});
  const Error missing = world.error("http", {{"url", pages.url("/none")}});
  EXPECT_EQ(missing.kind(), ErrorKind::NotFound);
  EXPECT_EQ(missing.message(), "requested URL '" + pages.url("/none") + "' is not found");
  EXPECT_EQ(world.error("http", {{"url", pages.url("/secret")}}).kind(), ErrorKind::Failed);
  const Error broken = world.error("http", {{"url", pages.url("/broken")}});
  EXPECT_EQ(broken.kind(), ErrorKind::Unavailable);
  EXPECT_THAT(broken.message(), HasSubstr("500 Internal Server Error"));
  EXPECT_THAT(world.error("http", {{"url", pages.url("/empty")}}).message(),
              HasSubstr("no content for resource"));
}

TEST(HttpResolver, ADocumentBeyondTheLimitIsRefused) {
  World world;
  Pages pages;
  pages.put("/large", {200, std::string((1u << 20) + 1, '#')});
  pages.put("/just", {200, std::string(1u << 20, '#')});
  EXPECT_EQ(world.error("http", {{"url", pages.url("/large")}}).message(),
            "requested URL '" + pages.url("/large") + "' is larger than 1.0 MiB");
  EXPECT_EQ(world.fetch("http", {{"url", pages.url("/just")}}).size(), 1u << 20);
}

TEST(HttpResolver, ASilentPeerIsGivenUpAfterTheTimeLimit) {
  World world;
  SilentPeer peer;
  world.options.time_limit = std::chrono::milliseconds(40);
  const Error error = world.error("http", {{"url", "http://" + peer.authority() + "/x"}});
  EXPECT_EQ(error.kind(), ErrorKind::TimedOut);
  EXPECT_THAT(error.message(), HasSubstr("resolution took longer than global timeout of 40 ms"));
}

TEST(HttpResolver, PasswordsOfSecretsAreRefusedByName) {
  World world;
  EXPECT_EQ(world.error("http", {{"url", "http://x"}, {"http-username", "u"}}).message(),
            "missing required param http-password-secret when using http-username");
  EXPECT_EQ(world.error("http", {{"url", "http://x"}, {"http-password-secret", "s"}}).message(),
            "missing required param http-username when using http-password-secret");
  EXPECT_THAT(
      world.error("http", {{"url", "http://x"}, {"http-username", "u"}, {"http-password-secret", "s"}})
          .message(),
      HasSubstr("`http-password-secret` is not supported"));
}

TEST(HttpResolver, APrivateCaIsTheOneOfTheEnvironment) {
  if (!find_program("openssl")) GTEST_SKIP() << "openssl is not installed";
  World world;
  Pages pages;
  pages.put("/task.yaml", {200, task_named("one")});
  const TlsFront front(pages.server.authority());
  const std::string url = "https://" + front.authority() + "/task.yaml";
  EXPECT_EQ(world.error("http", {{"url", url}}).kind(), ErrorKind::Infrastructure);
  const ScopedVariable trusted("SSL_CERT_FILE", front.certificate().string());
  EXPECT_EQ(world.fetch("http", {{"url", url}}), task_named("one"));
}

TEST(HttpResolver, NeverGoesFromHttpsToHttp) {
  if (!find_program("openssl")) GTEST_SKIP() << "openssl is not installed";
  World world;
  Pages pages;
  pages.put("/down", {302, "", {{"Location", pages.url("/task.yaml")}}});
  pages.put("/task.yaml", {200, task_named("one")});
  const TlsFront front(pages.server.authority());
  const ScopedVariable trusted("SSL_CERT_FILE", front.certificate().string());
  EXPECT_THAT(world.error("http", {{"url", "https://" + front.authority() + "/down"}}).message(),
              HasSubstr("which is not followed"));
}

TEST(RemoteResolver, UnknownResolversAreNamedWithALikelyOne) {
  World world;
  const Error error = world.error("bundle", {});
  EXPECT_EQ(error.kind(), ErrorKind::Invalid);
  EXPECT_EQ(error.message(), "there is no resolver \"bundle\"");
  EXPECT_EQ(error.hint(), "did you mean `bundles`?");
}

}  // namespace
}  // namespace kiln::resolvers
