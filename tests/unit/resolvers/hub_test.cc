#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "resolvers/version.h"
#include "tests/unit/resolvers/world.h"

namespace kiln::resolvers {
namespace {

using nlohmann::json;
using testing::HasSubstr;

// A fake of both hubs: the answers of their APIs that matter, and nothing else of them.
class Hub : public testing::Test {
 protected:
  void SetUp() override {
    world.options.artifact_hub = pages.url("/");
    world.options.tekton_hub = pages.url("/th");
    const json versions = json::array({{{"version", "0.9.0"}},
                                       {{"version", "0.10.0"}},
                                       {{"version", "1.0.0-rc.1"}, {"prerelease", true}},
                                       {{"version", "0.2.0"}}});
    put("/api/v1/packages/tekton-task/tekton-catalog-tasks/clone", {{"available_versions", versions}});
    for (const std::string version : {"0.2.0", "0.9.0", "0.10.0"})
      put("/api/v1/packages/tekton-task/tekton-catalog-tasks/clone/" + version,
          {{"name", "clone"}, {"data", {{"manifestRaw", task_named("artifact-" + version)}}}});
    put("/th/v1/resource/Tekton/task/clone",
        {{"data", {{"versions", json::array({{{"version", "0.1"}}, {{"version", "0.3"}}})}}}});
    for (const std::string version : {"0.1", "0.3"})
      put("/th/v1/resource/Tekton/task/clone/" + version + "/yaml",
          {{"data", {{"yaml", task_named("tekton-" + version)}}}});
  }
  void put(const std::string& target, const json& answer) { pages.put(target, {200, answer.dump()}); }
  std::map<std::string, std::string> at(const std::string& version,
                                        const std::string& type = "artifact") const {
    return {{"name", "clone"}, {"version", version}, {"type", type}};
  }

  Pages pages;
  World world;
};

TEST_F(Hub, ReadsAnExactVersionHoweverItIsWritten) {
  EXPECT_EQ(world.fetch("hub", at("0.9")), task_named("artifact-0.9.0"));
  EXPECT_EQ(world.fetch("hub", at("0.9.0")), task_named("artifact-0.9.0"));
  EXPECT_TRUE(world.log.back().cached) << "the same version";
  EXPECT_EQ(world.fetch("hub", at("0.3", "tekton")), task_named("tekton-0.3"));
  EXPECT_EQ(world.fetch("hub", at("0.3.0", "tekton")), task_named("tekton-0.3"));
  EXPECT_EQ(world.fetch("hub", {{"name", "clone"}, {"version", "0.2"}}), task_named("artifact-0.2.0"));
}

TEST_F(Hub, AConstraintMeansTheHighestVersionThatIsNoPrerelease) {
  EXPECT_EQ(world.fetch("hub", at(">= 0.2.0")), task_named("artifact-0.10.0"));
  EXPECT_EQ(world.fetch("hub", at(">= 0.2, < 0.10")), task_named("artifact-0.9.0"));
  EXPECT_EQ(world.fetch("hub", at("!= 0.3", "tekton")), task_named("tekton-0.1"));
  const Error error = world.error("hub", at("> 2"));
  EXPECT_EQ(error.kind(), ErrorKind::NotFound);
  EXPECT_EQ(error.message(), "no version found for constraint > 2");
  EXPECT_EQ(error.hint(), "there are: 0.9.0, 0.10.0, 0.2.0");
}

TEST_F(Hub, AnExactVersionNeedsNoNetworkTheSecondTimeAConstraintDoes) {
  world.fetch("hub", at("~> 0.9.0"));
  pages.stop();
  EXPECT_EQ(world.fetch("hub", at("0.9.0")), task_named("artifact-0.9.0"));
  EXPECT_TRUE(world.log.back().cached);
  EXPECT_EQ(world.error("hub", at("~> 0.9.0")).kind(), ErrorKind::Unavailable);
}

TEST_F(Hub, CatalogAndKindHaveTheDefaultsOfTekton) {
  put("/api/v1/packages/tekton-pipeline/tekton-catalog-pipelines/release/1.0.0",
      {{"data", {{"manifestRaw", "kind: Pipeline\n"}}}});
  put("/api/v1/packages/tekton-task/my%20own/release/1.0.0", {{"data", {{"manifestRaw", "mine\n"}}}});
  EXPECT_EQ(world.fetch("hub", {{"name", "release"}, {"version", "1.0"}}, "Pipeline"), "kind: Pipeline\n");
  EXPECT_EQ(world.fetch("hub", {{"name", "release"}, {"version", "1.0"}, {"catalog", "my own"}}), "mine\n");
}

TEST_F(Hub, WrongParamsAreNamed) {
  EXPECT_EQ(world.error("hub", {}).message(), "missing required hub resolver params: name, version");
  auto params = at("0.9");
  params["kind"] = "tasks";
  EXPECT_EQ(world.error("hub", params).message(), "kind param must be one of: task, pipeline, stepaction");
  EXPECT_EQ(world.error("hub", at("0.9", "docker")).message(), "type param must be artifact or tekton");
  world.options.tekton_hub.clear();
  EXPECT_EQ(world.error("hub", at("0.9", "tekton")).message(),
            "please configure TEKTON_HUB_API env variable to use tekton type");
}

TEST_F(Hub, WhatTheHubDoesNotHaveIsNotFound) {
  const Error error = world.error("hub", at("0.4"));
  EXPECT_EQ(error.kind(), ErrorKind::NotFound);
  EXPECT_EQ(error.message(), "fail to fetch Artifact Hub resource: requested resource '" +
                                 pages.url("/api/v1/packages/tekton-task/tekton-catalog-tasks/clone/0.4.0") +
                                 "' not found on hub");
}

TEST_F(Hub, AnAnswerThatIsNoneIsRefusedAndNotKept) {
  const std::string target = "/api/v1/packages/tekton-task/tekton-catalog-tasks/clone/0.5.0";
  pages.put(target, {200, "<html>"});
  EXPECT_THAT(world.error("hub", at("0.5")).message(), HasSubstr("is no JSON object"));
  pages.put(target, {200, "{\"data\":{\"manifestRaw\":7}}"});
  EXPECT_THAT(world.error("hub", at("0.5")).message(), HasSubstr("holds no document"));
  pages.put(target, {200, "{\"data\":{\"manifestRaw\":\"\"}}"});
  EXPECT_THAT(world.error("hub", at("0.5")).message(), HasSubstr("no content for resource"));
  put(target, {{"data", {{"manifestRaw", std::string((1u << 20) + 1, '#')}}}});
  EXPECT_THAT(world.error("hub", at("0.5")).message(), HasSubstr("is larger than 1.0 MiB"));
  put(target, {{"data", {{"manifestRaw", "good\n"}}}});
  EXPECT_EQ(world.fetch("hub", at("0.5")), "good\n");
}

TEST_F(Hub, ASilentHubIsGivenUpAfterTheTimeLimit) {
  SilentPeer peer;
  world.options.artifact_hub = "http://" + peer.authority();
  world.options.time_limit = std::chrono::milliseconds(40);
  EXPECT_EQ(world.error("hub", at("0.9")).kind(), ErrorKind::TimedOut);
}

TEST(VersionConstraint, AllowsWhatItSays) {
  const auto allows = [](std::string_view constraint, std::string_view version) {
    const auto parsed = VersionConstraint::parse(constraint);
    const auto candidate = Version::parse(version);
    EXPECT_TRUE(parsed && candidate) << constraint << " " << version;
    return parsed && candidate && parsed->allows(*candidate);
  };
  EXPECT_TRUE(allows(">= 0.5.0", "0.5"));
  EXPECT_TRUE(allows(">= 0.5.0", "0.10.0")) << "numbers, not words";
  EXPECT_FALSE(allows("> 0.5", "0.5.0"));
  EXPECT_TRUE(allows("0.5", "v0.5.0+build"));
  EXPECT_TRUE(allows("~> 1.2", "1.9"));
  EXPECT_FALSE(allows("~> 1.2", "2.0"));
  EXPECT_FALSE(allows("~> 1.2.3", "1.3.0"));
  EXPECT_TRUE(allows("~> 1.2.3", "1.2.4"));
  EXPECT_FALSE(allows(">=1, <2, !=1.5", "1.5.0"));
  EXPECT_FALSE(allows(">= 1.0", "1.1.0-rc.1")) << "a prerelease must be asked for";
  EXPECT_TRUE(allows(">= 1.1.0-rc.1", "1.1.0-rc.2"));
  EXPECT_TRUE(allows(">= 1.1.0-rc.1", "1.1.0"));
  for (const std::string_view none : {"", "latest", ">=", "=> 1", "1.x", ">= 1,", "99999999999999999999999"})
    EXPECT_FALSE(VersionConstraint::parse(none)) << none;
}

TEST(Version, IsOrderedAsSemanticVersioningSays) {
  const std::vector<std::string_view> ordered{"1.0.0-alpha",  "1.0.0-alpha.1", "1.0.0-alpha.beta",
                                              "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1",
                                              "1.0.0",        "1.0.1",         "1.10"};
  for (size_t i = 0; i + 1 < ordered.size(); ++i)
    EXPECT_LT(*Version::parse(ordered[i]), *Version::parse(ordered[i + 1])) << ordered[i];
  EXPECT_EQ(*Version::parse("1"), *Version::parse("1.0.0+x"));
}

}  // namespace
}  // namespace kiln::resolvers
