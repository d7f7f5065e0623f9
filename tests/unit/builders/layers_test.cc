#include "builders/layers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/fs.h"

namespace kiln::builders {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// A buildpack's layers folder, with a place beside it that nothing may reach.
class LayersTest : public testing::Test {
 protected:
  LayersTest() {
    make_dirs(folder());
    make_dirs(outside());
    write_file(outside() / "precious.toml", "[types]\nlaunch = true\n");
  }
  fs::path folder() const { return dir_.path() / "layers" / "kiln_x"; }
  fs::path outside() const { return dir_.path() / "outside"; }
  OpenFolder open() const { return OpenFolder(folder()); }

  void layer(const std::string& name, const std::string& types, bool content = true) {
    write_file(folder() / (name + ".toml"), "[types]\n" + types + "[metadata]\nkey = \"" + name + "\"\n");
    if (!content) return;
    make_dirs(folder() / name);
    write_file(folder() / name / "file", name);
  }
  std::vector<std::string> left() const { return open().names(); }
  void restore(const PreviousBuildpack& previous = {}) const { restore_layers(open(), previous); }
  std::string problem() const {
    try {
      read_layers(open());
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::Failed) << error.full();
      return error.full();
    }
    return "read";
  }
  bool outside_is_whole() const { return fs::exists(outside() / "precious.toml"); }

 private:
  TempDir dir_;
};

TEST_F(LayersTest, AreReadInOrderOfNameWithTypesAndMetadata) {
  layer("b", "launch = true\ncache = true\n");
  layer("a-b", "build = true\n");
  layer("a", "");
  write_file(folder() / "launch.toml", "not toml at all");  // read by others
  const auto layers = read_layers(open());
  ASSERT_EQ(layers.size(), 3u);
  EXPECT_EQ(layers[0].name, "a");
  EXPECT_EQ(layers[1].name, "a-b");
  EXPECT_TRUE(layers[1].build && !layers[1].launch && !layers[1].cache);
  EXPECT_TRUE(layers[2].launch && layers[2].cache && !layers[2].build);
  EXPECT_EQ(layers[2].metadata, R"({"key":"b"})");
}

TEST_F(LayersTest, WithoutATomlAFolderIsNoLayer) {
  make_dirs(folder() / "scratch");
  EXPECT_THAT(read_layers(open()), IsEmpty());
}

TEST_F(LayersTest, CachedLayersKeepContentAndLoseTheirTypes) {
  layer("kept", "cache = true\nlaunch = true\n");
  layer("built", "build = true\n");
  layer("launched", "launch = true\n");
  make_dirs(folder() / "unclaimed");
  write_file(folder() / "store.toml", "[metadata]\nx = 1\n");
  write_file(folder() / "launch.toml", "");
  restore();
  EXPECT_THAT(left(), ElementsAre("kept", "kept.toml", "store.toml"));
  EXPECT_EQ(read_file(folder() / "kept" / "file"), "kept");
  const auto layers = read_layers(open());
  EXPECT_FALSE(layers.at(0).cache || layers.at(0).launch || layers.at(0).build);
  EXPECT_EQ(layers.at(0).metadata, R"({"key":"kept"})");
}

TEST_F(LayersTest, MetadataWithoutItsContentIsNotRestored) {
  layer("lost", "cache = true\n", false);
  restore();
  EXPECT_THAT(left(), IsEmpty());
}

TEST_F(LayersTest, LaunchLayersComeBackAsThePreviousImageTellsThem) {
  layer("modules", "launch = true\n");  // made by a build that failed later: no image has it
  PreviousBuildpack previous;
  previous["modules"] = {.layer = {}, .launch = true, .metadata = {{"key", "exported"}}};
  previous["tools"] = {.layer = {}, .launch = true, .build = true, .metadata = {}};
  previous["both"] = {.layer = {}, .launch = true, .cache = true, .metadata = {}};
  restore(previous);
  EXPECT_THAT(left(), ElementsAre("modules.toml"));
  const auto layers = read_layers(open());
  EXPECT_EQ(layers.at(0).metadata, R"({"key":"exported"})");
  EXPECT_FALSE(layers.at(0).launch);
}

TEST_F(LayersTest, ReservedNamesAreNoLayers) {
  for (const char* name : {"build", "launch", "store"}) {
    layer(name, "");
    EXPECT_THAT(problem(), HasSubstr("is no layer name")) << name;
    remove_tree(folder() / name);
    remove_tree(folder() / (std::string(name) + ".toml"));
  }
}

TEST_F(LayersTest, DotsAreNoLayers) {
  for (const char* file : {"..toml", "...toml"}) {
    write_file(folder() / file, "[types]\nlaunch = true\n");
    EXPECT_THAT(problem(), HasSubstr("is no layer name"));
    EXPECT_THROW(restore(), Error);
    fs::remove(folder() / file);
  }
  write_file(folder() / ".toml", "x");  // has no name at all
  EXPECT_THAT(read_layers(open()), IsEmpty());
}

TEST_F(LayersTest, AFileThatIsALinkIsNotFollowed) {
  write_file(outside() / "secret", "secret = ");
  fs::create_symlink(outside() / "secret", folder() / "x.toml");
  EXPECT_THAT(problem(), AllOf(HasSubstr("x.toml is not a regular file"), Not(HasSubstr("secret"))));
}

TEST_F(LayersTest, PipesFoldersAndHugeFilesAreRefused) {
  ASSERT_EQ(::mkfifo((folder() / "x.toml").c_str(), 0600), 0);
  EXPECT_THAT(problem(), HasSubstr("not a regular file"));  // and does not wait for a writer
  fs::remove(folder() / "x.toml");
  make_dirs(folder() / "x.toml");
  EXPECT_THAT(problem(), HasSubstr("not a regular file"));
  fs::remove(folder() / "x.toml");
  write_file(folder() / "x.toml", "");
  fs::resize_file(folder() / "x.toml", uint64_t{1} << 40);  // sparse
  EXPECT_THAT(problem(), HasSubstr("larger than"));
}

TEST_F(LayersTest, WhatIsNoLayerFileIsNamed) {
  for (const char* text : {"types = 3\n", "[types]\nlaunch = \"yes\"\n", "[types\n"}) {
    write_file(folder() / "x.toml", text);
    EXPECT_THAT(problem(), HasSubstr("kiln_x/x.toml")) << text;
  }
}

TEST_F(LayersTest, ALayerFolderThatIsALinkIsNeitherReadNorRemoved) {
  layer("x", "cache = true\n", false);
  fs::create_directory_symlink(outside(), folder() / "x");
  fs::create_directory_symlink(outside(), folder() / "other");
  restore();
  EXPECT_THAT(left(), IsEmpty());
  EXPECT_TRUE(outside_is_whole());
}

TEST_F(LayersTest, ABuildpacksFolderThatIsALinkIsRefused) {
  fs::remove(folder());
  fs::create_directory_symlink(outside(), folder());
  EXPECT_THROW(open(), Error);
  EXPECT_TRUE(outside_is_whole());
}

TEST_F(LayersTest, BuildLayersAddToTheEnvironment) {
  layer("tool", "build = true\n");
  for (const char* name : {"bin", "env", "env.build", "env.launch"}) make_dirs(folder() / "tool" / name);
  write_file(folder() / "tool" / "env" / "A", "both");
  write_file(folder() / "tool" / "env.build" / "B", "building");
  write_file(folder() / "tool" / "env.launch" / "C", "launching");
  EnvMap env;
  apply_build_layer(env, OpenFolder(folder() / "tool"), "/layers/kiln_x/tool");
  EXPECT_EQ(env, (EnvMap{{"A", "both"}, {"B", "building"}, {"PATH", "/layers/kiln_x/tool/bin"}}));
}

TEST_F(LayersTest, VariablesThatAreLinksOrHoldNulAreRefused) {
  make_dirs(folder() / "tool" / "env");
  fs::create_symlink("/etc/shadow", folder() / "tool" / "env" / "A");
  EnvMap env;
  const OpenFolder tool(folder() / "tool");
  EXPECT_THROW(apply_build_layer(env, tool, "/l"), Error);
  fs::remove(folder() / "tool" / "env" / "A");
  write_file(folder() / "tool" / "env" / "A", std::string("a\0b", 3));
  EXPECT_THROW(apply_build_layer(env, tool, "/l"), Error);
  EXPECT_THAT(env, IsEmpty());
}

}  // namespace
}  // namespace kiln::builders
