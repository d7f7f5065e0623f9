#include "builders/layer_env.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/fs.h"

namespace kiln::builders {
namespace {

using testing::ElementsAre;
using testing::Pair;

EnvMap after(EnvMap env, const EnvFiles& files, bool bare_prepends = false) {
  apply_env_files(env, files, bare_prepends);
  return env;
}

TEST(LayerEnv, EachSuffixDoesWhatItSays) {
  EXPECT_EQ(after({{"V", "old"}}, {{"V", "new"}}).at("V"), "new");
  EXPECT_EQ(after({{"V", "old"}}, {{"V.override", "new"}}).at("V"), "new");
  EXPECT_EQ(after({{"V", "old"}}, {{"V.append", "new"}}).at("V"), "oldnew");
  EXPECT_EQ(after({{"V", "old"}}, {{"V.prepend", "new"}}).at("V"), "newold");
  EXPECT_EQ(after({{"V", "old"}}, {{"V.default", "new"}}).at("V"), "old");
  EXPECT_EQ(after({}, {{"V.default", "new"}}).at("V"), "new");
  EXPECT_EQ(after({{"V", ""}}, {{"V.default", "new"}}).at("V"), "new");  // empty counts as not set
}

TEST(LayerEnv, TheDelimiterStandsBetweenTwoValuesOnly) {
  EXPECT_EQ(after({{"V", "old"}}, {{"V.append", "new"}, {"V.delim", ";"}}).at("V"), "old;new");
  EXPECT_EQ(after({{"V", "old"}}, {{"V.prepend", "new"}, {"V.delim", ";"}}).at("V"), "new;old");
  EXPECT_EQ(after({}, {{"V.append", "new"}, {"V.delim", ";"}}).at("V"), "new");
  EXPECT_EQ(after({}, {{"V.delim", ";"}}).count("V"), 0u);
}

TEST(LayerEnv, ContentsAreRawBytes) {
  EXPECT_EQ(after({}, {{"V", " a\n"}}).at("V"), " a\n");
}

TEST(LayerEnv, BareNamesPrependForOldBuildpacks) {
  EXPECT_EQ(after({{"V", "old"}}, {{"V", "new"}}, true).at("V"), "new:old");
}

TEST(LayerEnv, WhatIsNoVariableIsIgnored) {
  EXPECT_TRUE(
      after({}, {{"V.unknown", "x"}, {".override", "x"}, {"A=B", "x"}, {"V.a.override", "x"}}).empty());
}

TEST(LayerEnv, RootsAreForBuildingOrForLaunching) {
  const auto all = [](const char*) { return true; };
  EnvMap building{{"PATH", "/bin"}};
  apply_layer_root(building, all, "/l", true);
  EXPECT_THAT(building, ElementsAre(Pair("CPATH", "/l/include"), Pair("LD_LIBRARY_PATH", "/l/lib"),
                                    Pair("LIBRARY_PATH", "/l/lib"), Pair("PATH", "/l/bin:/bin"),
                                    Pair("PKG_CONFIG_PATH", "/l/pkgconfig")));
  EnvMap launching{{"PATH", "/bin"}};
  apply_layer_root(launching, all, "/l", false);
  EXPECT_THAT(launching, ElementsAre(Pair("LD_LIBRARY_PATH", "/l/lib"), Pair("PATH", "/l/bin:/bin")));
}

TEST(LayerEnv, FoldersAreReadFromDiskAndMayBeMissing) {
  TempDir folder;
  make_dirs(folder.path() / "bin");
  make_dirs(folder.path() / "env" / "web");  // env.launch/<process>/ is not a variable
  write_file(folder.path() / "env" / "A.default", "1");
  EnvMap env;
  apply_layer_root(env, folder.path(), false);
  apply_env_folder(env, folder.path() / "env");
  apply_env_folder(env, folder.path() / "missing");
  EXPECT_THAT(env, ElementsAre(Pair("A", "1"), Pair("PATH", (folder.path() / "bin").string())));
}

}  // namespace
}  // namespace kiln::builders
