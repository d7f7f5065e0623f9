#include "base/git.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text.h"
#include "tests/unit/resolvers/world.h"

namespace kiln::resolvers {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class GitResolver : public testing::Test {
 protected:
  void SetUp() override {
    if (!find_program("git")) GTEST_SKIP() << "git is not installed";
    host = std::make_unique<GitHost>();
    host->write("task/hello/hello.yaml", task_named("one"));
    first = host->commit("one");
    host->git({"tag", "-a", "v1", "-m", "the first"});
    host->write("task/hello/hello.yaml", task_named("two"));
    second = host->commit("two");
  }
  std::map<std::string, std::string> at(const std::string& revision,
                                        const std::string& path = "task/hello/hello.yaml") const {
    return {{"url", host->url()}, {"revision", revision}, {"pathInRepo", path}};
  }

  std::unique_ptr<GitHost> host;
  World world;
  std::string first, second;
};

TEST_F(GitResolver, ReadsBranchesTagsAndCommits) {
  EXPECT_EQ(world.fetch("git", at("main")), task_named("two"));
  EXPECT_EQ(world.fetch("git", at("v1")), task_named("one")) << "an annotated tag";
  EXPECT_EQ(world.fetch("git", at(first)), task_named("one"));
  EXPECT_EQ(world.fetch("git", at(first.substr(0, 9))), task_named("one"));
  EXPECT_EQ(world.fetch("git", at("refs/heads/main", "./task//hello/../hello/hello.yaml")),
            task_named("two"));
  for (const Resolved& resolved : world.log)
    EXPECT_THAT(resolved.source, testing::StartsWith("git+" + host->url() + "@")) << resolved.source;
  EXPECT_THAT(world.log[1].source, HasSubstr(first)) << "the commit, not the tag object";
}

TEST_F(GitResolver, TheRevisionIsMainUnlessSaidOtherwise) {
  auto params = at("");
  EXPECT_EQ(world.fetch("git", params), task_named("two"));
  params.erase("revision");
  world.options.git_default_revision = "v1";
  EXPECT_EQ(world.fetch("git", params), task_named("one"));
  world.options.git_default_url = params["url"];
  params.erase("url");
  EXPECT_EQ(world.fetch("git", params), task_named("one"));
}

TEST_F(GitResolver, ACommitNeedsNoNetworkTheSecondTime) {
  world.fetch("git", at(first));
  EXPECT_FALSE(world.log.back().cached);
  host->stop();
  EXPECT_EQ(world.fetch("git", at(first)), task_named("one"));
  EXPECT_TRUE(world.log.back().cached);
}

TEST_F(GitResolver, ABranchIsAskedForAnewAndReadFromTheCacheWhileItStays) {
  world.fetch("git", at("main"));
  const int before = host->asked();
  EXPECT_EQ(world.fetch("git", at("main")), task_named("two"));
  EXPECT_TRUE(world.log.back().cached);
  EXPECT_EQ(host->asked(), before + 1) << "its references, and nothing else";
  host->write("task/hello/hello.yaml", task_named("three"));
  host->commit("three");
  EXPECT_EQ(world.fetch("git", at("main")), task_named("three"));
  EXPECT_FALSE(world.log.back().cached);
  host->stop();
  EXPECT_EQ(world.error("git", at("main")).kind(), ErrorKind::Unavailable);
}

TEST_F(GitResolver, AnotherFileOfAKnownCommitComesFromTheMirror) {
  host->write("other.yaml", task_named("other"));
  const std::string third = host->commit("three");
  world.fetch("git", at(third));
  host->stop();
  EXPECT_EQ(world.fetch("git", at(third, "other.yaml")), task_named("other"));
}

TEST_F(GitResolver, ADamagedCacheEntryIsFetchedAgain) {
  world.fetch("git", at(first));
  const DocumentCache cache(world.dir.path() / "resolved");
  const fs::path file = cache.file_of(world.log.back().source);
  std::string content = read_file(file);
  content.back() = '!';
  write_file(file, content);
  EXPECT_EQ(world.fetch("git", at(first)), task_named("one"));
  EXPECT_FALSE(world.log.back().cached);
  EXPECT_EQ(cache.find(world.log.back().source), task_named("one"));
}

TEST_F(GitResolver, NamesTheParamsThatAreMissing) {
  const Error error = world.error("git", {{"url", host->url()}, {"pathinrepo", "x.yaml"}});
  EXPECT_EQ(error.message(), "missing required git resolver params: pathInRepo");
  EXPECT_EQ(error.hint(), "did you mean `pathInRepo` where `pathinrepo` is written?");
  EXPECT_EQ(world.error("git", {{"pathInRepo", "x.yaml"}}).message(),
            "missing required git resolver params: url");
}

TEST_F(GitResolver, AMissingPathSaysWhatWasProbablyMeant) {
  const Error near = world.error("git", at("main", "task/hello/helo.yaml"));
  EXPECT_EQ(near.kind(), ErrorKind::NotFound);
  EXPECT_THAT(near.message(), AllOf(HasSubstr("error opening file \"task/hello/helo.yaml\""),
                                    HasSubstr("file does not exist"), HasSubstr(host->url())));
  EXPECT_EQ(near.hint(), "did you mean `task/hello/hello.yaml`?");
  EXPECT_EQ(world.error("git", at("main", "hello.yaml")).hint(), "did you mean `task/hello/hello.yaml`?");
  EXPECT_THAT(world.error("git", at("main", "task/hello")).message(), HasSubstr("it is not a file"));
}

TEST_F(GitResolver, AMissingRevisionSaysWhatWasProbablyMeant) {
  const Error error = world.error("git", at("mian"));
  EXPECT_EQ(error.kind(), ErrorKind::NotFound);
  EXPECT_THAT(error.message(), HasSubstr("there is no branch, tag or commit `mian`"));
  EXPECT_THAT(error.hint(), HasSubstr("did you mean `main`?"));
}

TEST_F(GitResolver, AUrlWithoutARepositoryIsNotFound) {
  auto params = at("main");
  params["url"] = "http://" + host->authority() + "/nothing";
  const Error error = world.error("git", params);
  EXPECT_EQ(error.kind(), ErrorKind::NotFound);
  EXPECT_THAT(error.full(), HasSubstr("there is no git repository at this URL"));
}

TEST_F(GitResolver, LinksAreFollowedInsideTheRepositoryOnly) {
  fs::create_symlink("hello/hello.yaml", host->repository() / "task/link.yaml");
  fs::create_symlink("../../outside.yaml", host->repository() / "task/out.yaml");
  fs::create_symlink("/etc/hostname", host->repository() / "root.yaml");
  fs::create_symlink("circle.yaml", host->repository() / "circle.yaml");
  host->commit("links");
  EXPECT_EQ(world.fetch("git", at("main", "task/link.yaml")), task_named("two"));
  EXPECT_THAT(world.error("git", at("main", "task/out.yaml")).message(), HasSubstr("out of the repository"));
  EXPECT_THAT(world.error("git", at("main", "root.yaml")).message(), HasSubstr("out of the repository"));
  EXPECT_THAT(world.error("git", at("main", "circle.yaml")).message(), HasSubstr("in circles"));
  EXPECT_THAT(world.error("git", at("main", "../x.yaml")).message(), HasSubstr("out of the repository"));
}

TEST_F(GitResolver, AFileBeyondTheLimitIsRefused) {
  host->write("large.yaml", std::string(2000, '#'));
  host->commit("large");
  world.options.document_limit = 1999;
  const Error error = world.error("git", at("main", "large.yaml"));
  EXPECT_EQ(error.kind(), ErrorKind::Invalid);
  EXPECT_THAT(error.message(), HasSubstr("it has 2.0 KiB, more than 2.0 KiB"));
}

TEST_F(GitResolver, AnEmptyFileIsNoDocument) {
  host->write("empty.yaml", "\n");
  host->commit("empty");
  EXPECT_THAT(world.error("git", at("main", "empty.yaml")).message(), HasSubstr("no content for resource"));
}

TEST_F(GitResolver, LocalRepositoriesNeedTheUsersWord) {
  for (const std::string& url : {host->repository().string(), "file://" + host->repository().string()}) {
    const std::map<std::string, std::string> params{{"url", url}, {"pathInRepo", "task/hello/hello.yaml"}};
    world.options.allow_local = false;
    const Error error = world.error("git", params);
    EXPECT_EQ(error.kind(), ErrorKind::Invalid);
    EXPECT_THAT(error.message(), HasSubstr("is on this machine's own disk"));
    EXPECT_THAT(error.hint(), HasSubstr("--allow-local"));
    world.options.allow_local = true;
    EXPECT_EQ(world.fetch("git", params), task_named("two"));
  }
}

TEST_F(GitResolver, UrlsThatAreNoneAreRefused) {
  world.options.allow_local = true;
  for (const std::string url : {"task", "./app", "ext::sh -c whoami", "-u@host:x", "ftp://host/x", "C:\\app"})
    EXPECT_EQ(world.error("git", {{"url", url}, {"pathInRepo", "x"}}).message(),
              "invalid git repository url: " + url);
}

TEST_F(GitResolver, TheApiOfAnScmProviderIsRefusedByName) {
  EXPECT_EQ(world.error("git", {{"url", "https://x"}, {"repo", "y"}, {"pathInRepo", "x"}}).message(),
            "cannot specify both 'url' and 'repo'");
  const Error error = world.error("git", {{"org", "o"}, {"repo", "r"}, {"pathInRepo", "x"}});
  EXPECT_EQ(error.kind(), ErrorKind::Invalid);
  EXPECT_THAT(error.message(), HasSubstr("`repo` is not supported"));
  auto params = at("main");
  params["token"] = "secret";
  EXPECT_THAT(world.error("git", params).message(), HasSubstr("`token` is not supported"));
}

TEST_F(GitResolver, ASilentPeerIsGivenUpAfterTheTimeLimit) {
  SilentPeer peer;
  world.options.time_limit = std::chrono::milliseconds(40);
  const Error error =
      world.error("git", {{"url", "http://" + peer.authority() + "/app"}, {"pathInRepo", "x.yaml"}});
  EXPECT_EQ(error.kind(), ErrorKind::TimedOut);
  EXPECT_THAT(error.message(), HasSubstr("resolution took longer than global timeout of 40 ms"));
}

TEST_F(GitResolver, AStopRequestEndsAFetch) {
  SilentPeer peer;
  std::stop_source stop;
  stop.request_stop();
  world.options.stop = stop.get_token();
  EXPECT_EQ(world.error("git", {{"url", "http://" + peer.authority() + "/app"}, {"pathInRepo", "x"}}).kind(),
            ErrorKind::Cancelled);
}

TEST_F(GitResolver, CredentialsInTheUrlAreUsedAndNeverShown) {
  host->wanted_authorization = "Basic " + base64_encode("user:hunter2");
  auto params = at("main");
  EXPECT_THAT(world.error("git", params).full(), HasSubstr("authentication required"));
  params["url"] = "http://user:hunter2@" + host->authority() + "/app";
  EXPECT_EQ(world.fetch("git", params), task_named("two"));
  EXPECT_THAT(world.log.back().source, Not(HasSubstr("hunter2")));
  params["pathInRepo"] = "missing.yaml";
  EXPECT_THAT(world.error("git", params).full(), Not(HasSubstr("hunter2")));
  params["url"] = "http://user:hunter3@" + host->authority() + "/app";
  EXPECT_THAT(world.error("git", params).full(), Not(HasSubstr("hunter3")));
}

TEST_F(GitResolver, RedirectsAreFollowed) {
  Pages moved;
  const std::string refs = "/info/refs?service=git-upload-pack";
  moved.put("/old" + refs, {302, "", {{"Location", host->url() + refs}}});
  moved.put("/disk" + refs, {302, "", {{"Location", "file://" + host->repository().string()}}});
  moved.put("/round" + refs, {302, "", {{"Location", "/round" + refs}}});
  auto params = at("main");
  params["url"] = moved.url("/old");
  EXPECT_EQ(world.fetch("git", params), task_named("two"));
  params["url"] = moved.url("/disk");
  EXPECT_THAT(world.error("git", params).full(), HasSubstr("redirects to where git should not follow"));
  params["url"] = moved.url("/round");
  EXPECT_THAT(world.error("git", params).full(), HasSubstr("redirects in circles"));
}

TEST_F(GitResolver, APrivateCaIsTheOneOfTheEnvironment) {
  if (!find_program("openssl")) GTEST_SKIP() << "openssl is not installed";
  const TlsFront front(host->authority());
  const ScopedVariable of_git("GIT_SSL_CAINFO", "");  // it would go first
  auto params = at("main");
  params["url"] = "https://" + front.authority() + "/app";
  const Error error = world.error("git", params);
  EXPECT_EQ(error.kind(), ErrorKind::Infrastructure);
  EXPECT_THAT(error.hint(), HasSubstr("SSL_CERT_FILE"));
  {
    const ScopedVariable trusted("SSL_CERT_FILE", front.certificate().string());
    EXPECT_EQ(world.fetch("git", params), task_named("two"));
  }
  EXPECT_EQ(world.error("git", params).kind(), ErrorKind::Infrastructure);
  const ScopedVariable trusted("GIT_SSL_CAINFO", front.certificate().string());
  EXPECT_EQ(world.fetch("git", params), task_named("two"));
}

// git_checkout goes the same way.
TEST_F(GitResolver, ACheckoutOverHttpHasAllOfTheHistory) {
  TempDir dir;
  EXPECT_EQ(git_checkout({host->url(), "main", dir.path() / "a", dir.path() / "cache"}), second);
  host->write("more.yaml", "x");
  const std::string third = host->commit("three");
  EXPECT_EQ(git_checkout({host->url(), "main", dir.path() / "b", dir.path() / "cache"}), third);
  EXPECT_EQ(git_checkout({host->url(), "v1", dir.path() / "c", dir.path() / "cache"}), first);
}

}  // namespace
}  // namespace kiln::resolvers
