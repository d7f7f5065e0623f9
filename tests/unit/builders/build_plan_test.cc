#include "builders/build_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/toml.h"

namespace kiln::builders {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Candidate candidate(const std::string& name, const std::string& plan, bool optional = false) {
  return {name, optional, parse_plan(parse_toml(plan, name), name)};
}

const std::string kProvidesNode = "[[provides]]\nname = \"node\"\n";
const std::string kRequiresNode = "[[requires]]\nname = \"node\"\n";

// Which members take part, or why there are none.
std::string selected(const std::vector<Candidate>& candidates) {
  std::string why;
  const auto resolution = resolve_plan(candidates, why);
  if (!resolution) return why;
  std::string names;
  for (size_t i = 0; i < candidates.size(); ++i)
    if (resolution->members[i].selected) names += (names.empty() ? "" : " ") + candidates[i].name;
  return names;
}

std::vector<std::string> entry_versions(const Resolution::Member& member) {
  std::vector<std::string> versions;
  for (const auto& entry : member.entries)
    versions.push_back(entry.at("metadata").at("v").get<std::string>());
  return versions;
}

std::string requires_version(const std::string& version) {
  return kRequiresNode + "[requires.metadata]\nv = \"" + version + "\"\n";
}

TEST(BuildPlan, ProviderAndRequirerFit) {
  EXPECT_EQ(selected({candidate("a", kProvidesNode), candidate("b", kRequiresNode)}), "a b");
  EXPECT_EQ(selected({candidate("a", kProvidesNode + kRequiresNode)}), "a");
  EXPECT_EQ(selected({candidate("a", "")}), "a");
}

TEST(BuildPlan, AnUnmetRequireSaysWhoAndWhat) {
  EXPECT_EQ(selected({candidate("a", kRequiresNode)}),
            "a requires \"node\", which nothing before it provides");
  EXPECT_EQ(selected({candidate("a", kRequiresNode), candidate("b", kProvidesNode)}),
            "a requires \"node\", which nothing before it provides");
}

TEST(BuildPlan, AnUnusedProvideSaysWhoAndWhat) {
  EXPECT_EQ(selected({candidate("a", kProvidesNode)}), "a provides \"node\", which nothing requires");
}

TEST(BuildPlan, ARequireConsumesOnlyWhatCameBefore) {
  EXPECT_EQ(
      selected({candidate("a", kProvidesNode), candidate("b", kRequiresNode), candidate("c", kProvidesNode)}),
      "c provides \"node\", which nothing requires");
}

TEST(BuildPlan, AlternativesAreTriedInOrder) {
  const std::string either = "[[provides]]\nname = \"x\"\n[[or]]\n[[or.provides]]\nname = \"node\"\n[[or]]\n";
  EXPECT_EQ(selected({candidate("a", either), candidate("b", kRequiresNode)}), "a b");
  EXPECT_EQ(selected({candidate("a", either)}), "a");  // the last alternative is empty
  std::string why;
  const auto first = resolve_plan({candidate("a", requires_version("1") + kProvidesNode + "[[or]]\n")}, why);
  EXPECT_EQ(first->members[0].entries.size(), 1u);  // the first that works, not the last
}

TEST(BuildPlan, OptionalMembersThatDoNotFitAreDropped) {
  EXPECT_EQ(selected({candidate("a", kProvidesNode, true), candidate("b", "")}), "b");
  EXPECT_EQ(selected({candidate("a", ""), candidate("b", kRequiresNode, true)}), "a");
  // Dropping one makes another superfluous, which is dropped in turn.
  EXPECT_EQ(
      selected({candidate("a", kProvidesNode, true),
                candidate("b", kRequiresNode + "[[requires]]\nname = \"gone\"\n", true), candidate("c", "")}),
      "c");
}

TEST(BuildPlan, WhenAllAreDroppedTheReasonStays) {
  EXPECT_EQ(selected({candidate("a", kProvidesNode, true)}), "a provides \"node\", which nothing requires");
  EXPECT_EQ(selected({}), "no buildpack of the group passed detection");
}

TEST(BuildPlan, EveryProviderGetsTheRequirementsOfAll) {
  std::string why;
  const auto resolution = resolve_plan({candidate("a", kProvidesNode), candidate("b", requires_version("1")),
                                        candidate("c", kProvidesNode), candidate("d", requires_version("2"))},
                                       why);
  ASSERT_TRUE(resolution) << why;
  EXPECT_THAT(entry_versions(resolution->members[0]), ElementsAre("1", "2"));
  EXPECT_THAT(entry_versions(resolution->members[2]), ElementsAre("1", "2"));
  EXPECT_THAT(resolution->members[1].entries, IsEmpty());
}

TEST(BuildPlan, WhatIsNoPlanIsInvalid) {
  const auto message = [](const std::string& plan) -> std::string {
    try {
      candidate("bp@1", plan);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::Invalid);
      return error.message();
    }
    return "accepted";
  };
  EXPECT_EQ(message("[[requires]]\nname = \"x\"\nversion = \"1\"\n"),
            "bp@1: [[requires]] has a top-level version");
  EXPECT_EQ(message("[[provides]]\nnom = \"x\"\n"), "bp@1: a [[provides]] without a name");
  EXPECT_THAT(message("[[provides]]\nname = 3\n"), HasSubstr("bp@1: "));
  EXPECT_THAT(message("[[requires]]\nname = true\n"), HasSubstr("bp@1: "));
  EXPECT_THAT(message("provides = 3\n"), HasSubstr("bp@1: "));
  EXPECT_THAT(message("requires = [1]\n"), HasSubstr("bp@1: "));
  EXPECT_THAT(message("or = \"x\"\n"), HasSubstr("bp@1: "));
}

TEST(BuildPlan, TooManyCombinationsAreRefusedNotSearched) {
  std::string plan = kRequiresNode;
  for (int i = 0; i < 40; ++i) plan += "[[or]]\n[[or.requires]]\nname = \"n" + std::to_string(i) + "\"\n";
  const std::vector<Candidate> candidates(8, candidate("a", plan));
  std::string why;
  EXPECT_THROW(resolve_plan(candidates, why), Error);
}

}  // namespace
}  // namespace kiln::builders
