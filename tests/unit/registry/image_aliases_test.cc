#include "registry/image_aliases.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace kiln::registry {
namespace {

class ImageAliasesTest : public testing::Test {
 protected:
  std::string resolved(std::string_view name) const { return aliases.resolve(Reference::parse(name)).text(); }
  ImageAliases aliases;
};

TEST_F(ImageAliasesTest, WithoutAnAliasANameStaysWhatItIs) {
  EXPECT_EQ(resolved("registry.example/a:1"), "registry.example/a:1");
}

TEST_F(ImageAliasesTest, ANameWithoutTagStandsForAllItsTagsAndDigests) {
  aliases.add("registry.example/ubuntu", "kiln/build");
  const std::string build = Reference::parse("kiln/build").text();
  EXPECT_EQ(resolved("registry.example/ubuntu"), build);
  EXPECT_EQ(resolved("registry.example/ubuntu:22.04"), build);
  EXPECT_EQ(resolved("registry.example/ubuntu@sha256:" + std::string(64, 'a')), build);
  EXPECT_EQ(resolved("registry.example/ubuntu-minimal"), "registry.example/ubuntu-minimal:latest");
}

TEST_F(ImageAliasesTest, AHostWithAPortIsNoTag) {
  aliases.add("localhost:5000/a", "kiln/run");
  EXPECT_EQ(resolved("localhost:5000/a:3"), Reference::parse("kiln/run").text());
}

TEST_F(ImageAliasesTest, TheNameIsReadAsEverywhere) {
  aliases.add("alpine", "kiln/run");
  EXPECT_EQ(resolved("docker://alpine:3"), Reference::parse("kiln/run").text());
}

TEST_F(ImageAliasesTest, TheMoreExactNameWins) {
  aliases.add("registry.example/", "localhost:5000/all/");
  aliases.add("registry.example/team/", "localhost:5000/team/");
  aliases.add("registry.example/team/app", "localhost:5000/app");
  aliases.add("registry.example/team/app:2", "localhost:5000/app-two:x");
  EXPECT_EQ(resolved("registry.example/other/b:1"), "localhost:5000/all/other/b:1");
  EXPECT_EQ(resolved("registry.example/team/b:1"), "localhost:5000/team/b:1");
  EXPECT_EQ(resolved("registry.example/team/app:1"), "localhost:5000/app:latest");
  EXPECT_EQ(resolved("registry.example/team/app:2"), "localhost:5000/app-two:x");
}

TEST_F(ImageAliasesTest, APrefixKeepsTheDigest) {
  aliases.add("registry.example/", "localhost:5000/mirror/");
  const std::string digest = "@sha256:" + std::string(64, 'b');
  EXPECT_EQ(resolved("registry.example/a" + digest), "localhost:5000/mirror/a" + digest);
}

TEST_F(ImageAliasesTest, AnAliasIsNotFollowedTwice) {
  aliases.add("registry.example/a", "registry.example/b");
  aliases.add("registry.example/b", "registry.example/a");
  EXPECT_EQ(resolved("registry.example/a"), "registry.example/b:latest");
}

TEST_F(ImageAliasesTest, WhatCannotBeANameIsRefused) {
  EXPECT_THROW(aliases.add("registry.example/", "kiln/build"), Error);
  EXPECT_THROW(aliases.add("registry.example/a", "localhost:5000/"), Error);
  EXPECT_THROW(aliases.add("Not A Name", "kiln/build"), Error);
  EXPECT_THROW(aliases.add("registry.example/a", "UPPER CASE"), Error);
  EXPECT_TRUE(aliases.empty());
}

}  // namespace
}  // namespace kiln::registry
