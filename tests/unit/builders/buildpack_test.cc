#include "builders/buildpack.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/fs.h"

namespace kiln::builders {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Builder {
 public:
  void buildpack(const std::string& id, const std::string& more = {}, const std::string& version = "1.0.0") {
    const fs::path folder = dir_.path() / "buildpacks" / ("bp" + std::to_string(count_++));
    make_dirs(folder);
    write_file(folder / "buildpack.toml",
               "api = \"0.10\"\n[buildpack]\nid = \"" + id + "\"\nversion = \"" + version + "\"\n" + more);
  }
  BuildpackSet load(const std::string& order) {
    write_file(dir_.path() / "order.toml", order);
    return BuildpackSet::load(dir_.path());
  }
  // "a b? | c": groups with their members, "?" for optional ones.
  std::string groups(const std::string& order) {
    std::string text;
    const BuildpackSet set = load(order);
    for (const Group& group : set.order) {
      if (!text.empty()) text += " | ";
      for (size_t i = 0; i < group.size(); ++i)
        text += (i ? " " : "") + group[i].buildpack->id + (group[i].optional ? "?" : "");
    }
    return text;
  }
  std::string problem(const std::string& order) {
    try {
      load(order);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::Invalid);
      return error.message();
    }
    return "loaded";
  }

 private:
  TempDir dir_;
  int count_ = 0;
};

std::string order_of(const std::vector<std::string>& ids) {
  std::string text = "[[order]]\n";
  for (const std::string& id : ids) {
    const bool optional = id.ends_with('?');
    text += "[[order.group]]\nid = \"" + id.substr(0, id.size() - optional) + "\"\n";
    if (optional) text += "optional = true\n";
  }
  return text;
}

TEST(BuildpackSet, GroupsAreInTheirOrder) {
  Builder builder;
  for (const char* id : {"a", "b", "c"}) builder.buildpack(id);
  EXPECT_EQ(builder.groups(order_of({"a", "b?"}) + order_of({"c"})), "a b? | c");
}

TEST(BuildpackSet, CompositesAreExpandedInPlaceDepthFirst) {
  Builder builder;
  for (const char* id : {"a", "b", "c", "d"}) builder.buildpack(id);
  builder.buildpack("inner", order_of({"b"}) + order_of({"c"}));
  builder.buildpack("outer", order_of({"a", "inner"}));
  EXPECT_EQ(builder.groups(order_of({"outer", "d"})), "a b d | a c d");
}

TEST(BuildpackSet, AnOptionalCompositeMayBeLeftOutLast) {
  Builder builder;
  for (const char* id : {"a", "b"}) builder.buildpack(id);
  builder.buildpack("maybe", order_of({"b"}));
  EXPECT_EQ(builder.groups(order_of({"maybe?", "a"})), "b a | a");
}

TEST(BuildpackSet, ABuildpackIsInAGroupOnce) {
  Builder builder;
  for (const char* id : {"a", "b"}) builder.buildpack(id);
  EXPECT_EQ(builder.groups(order_of({"a", "b", "a"})), "a b");
}

TEST(BuildpackSet, VersionsAreTold) {
  Builder builder;
  builder.buildpack("a", {}, "1.0.0");
  builder.buildpack("a", {}, "2.0.0");
  const BuildpackSet set = builder.load("[[order]]\n[[order.group]]\nid = \"a\"\nversion = \"2.0.0\"\n");
  EXPECT_EQ(set.order.at(0).at(0).buildpack->full_name(), "a@2.0.0");
}

TEST(BuildpackSet, WhatIsWrongIsNamed) {
  Builder builder;
  builder.buildpack("a");
  builder.buildpack("loop", order_of({"loop"}));
  EXPECT_THAT(builder.problem(order_of({"missing"})),
              HasSubstr("names buildpack missing@, which is not there"));
  EXPECT_THAT(builder.problem(""), HasSubstr("has no [[order]]"));
  EXPECT_THAT(builder.problem("order = 3"), HasSubstr("order.toml"));
  EXPECT_THAT(builder.problem("[[order]]\n[[order.group]]\nid = 3\n"), HasSubstr("order.toml"));
  EXPECT_THAT(builder.problem(order_of({"loop"})), HasSubstr("nest too deeply"));
}

TEST(BuildpackSet, IdsAndVersionsThatAreNoPathPartsAreRefused) {
  for (const char* id : {"..", ".", "config", "a b", "a_b", ""}) {
    Builder builder;
    builder.buildpack(id);
    EXPECT_THAT(builder.problem(order_of({"x"})), HasSubstr("is no buildpack id")) << id;
  }
  for (const char* version : {"", "../1", ".."}) {
    Builder builder;
    builder.buildpack("a", {}, version);
    EXPECT_THAT(builder.problem(order_of({"a"})), HasSubstr("is no version")) << version;
  }
}

TEST(Buildpack, SlashesInIdsBecomeUnderscoresInPaths) {
  Buildpack buildpack;
  buildpack.id = "kiln/node/npm";
  EXPECT_EQ(buildpack.escaped_id(), "kiln_node_npm");
}

TEST(OwnBuildpacks, AreUnpackedOnceAndLoad) {
  TempDir cache;
  const fs::path folder = own_buildpacks(cache.path());
  EXPECT_EQ(own_buildpacks(cache.path()), folder);
  const BuildpackSet set = BuildpackSet::load(folder);
  EXPECT_NE(set.find("kiln/node", ""), nullptr);
  EXPECT_NE(set.find("kiln/python", ""), nullptr);
  EXPECT_FALSE(set.extensions.empty());
}

}  // namespace
}  // namespace kiln::builders
