#include "builders/lifecycle.h"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>
#include <stdlib.h>

#include "builders/previous_image.h"
#include "tests/unit/builders/build_world.h"

namespace kiln::builders {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Key;
using testing::Not;

class LifecycleTest : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string problem = steps::sandbox_problem(); !problem.empty())
      GTEST_SKIP() << "no sandboxes here: " << problem;
    world = std::make_unique<BuildWorld>();
    world->source("app.txt", "hello");
  }
  std::unique_ptr<BuildWorld> world;
};

// A launch layer that is made once; the second time its buildpack leaves the work to the previous image.
const std::string kReusesLayer =
    std::string(kWeb) +
    "if grep -q sum \"$1/deps.toml\" 2>/dev/null; then echo reusing; else\n"
    "echo making; mkdir -p \"$1/deps\"; echo made > \"$1/deps/file\"; fi\n"
    "printf '[types]\\nlaunch = true\\n[metadata]\\nsum = \"1\"\\n' > \"$1/deps.toml\"";

TEST_F(LifecycleTest, MakesAnImageOfAppLayersAndLauncher) {
  world->buildpack("kiln/app", "true",
                   std::string(kWeb) +
                       "mkdir -p \"$1/tools/bin\"; echo tool > \"$1/tools/bin/tool\"\n"
                       "printf '[types]\\nlaunch = true\\n' > \"$1/tools.toml\"\n"
                       "printf '[[labels]]\\nkey = \"k\"\\nvalue = \"v\"\\n' >> \"$1/launch.toml\"");
  world->group("kiln/app");
  const BuildResult result = world->build();
  EXPECT_THAT(world->layer_names(result),
              ElementsAre("kiln/app:tools", "app", "launcher", "config", "process-types"));
  const auto files = world->files();
  EXPECT_EQ(files.at("/workspace/app.txt").content, "hello");
  EXPECT_EQ(files.at("/layers/kiln_app/tools/bin/tool").uid, 1000);
  EXPECT_EQ(files.at("/cnb/process/web").link, "/cnb/lifecycle/launcher");
  EXPECT_EQ(files.at("/cnb/lifecycle/launcher").mode, 0755u);
  EXPECT_THAT(files.at("/layers/config/metadata.toml").content, HasSubstr("serve"));
  const registry::ImageConfig config = world->image().config;
  EXPECT_EQ(config.entrypoint, std::vector<std::string>{"/cnb/process/web"});
  EXPECT_THAT(config.env, Contains("PATH=/cnb/process:/cnb/lifecycle:/usr/bin:/bin"));
  EXPECT_EQ(config.labels.at("k"), "v");
}

TEST_F(LifecycleTest, TheSameSourceGivesTheSameDigest) {
  world->buildpack("main", "true", kWeb);
  world->group("main");
  const registry::Descriptor first = world->build().manifest;
  world->source("app.txt", "hello");  // written anew: another time, another inode perhaps
  EXPECT_EQ(world->build().manifest, first);
}

TEST_F(LifecycleTest, ALaunchLayerIsReusedFromThePreviousImage) {
  world->buildpack("main", "true", kReusesLayer);
  world->group("main");
  world->build();
  EXPECT_THAT(world->log(), HasSubstr("main: making"));
  const BuildResult second = world->build();
  EXPECT_THAT(world->log(), HasSubstr("main: reusing"));
  EXPECT_THAT(world->layer_names(second), Contains("main:deps reused"));
  EXPECT_EQ(world->files().at("/layers/main/deps/file").content, "made\n");
  world->build();  // the metadata came through a build that made nothing
  EXPECT_THAT(world->log(), HasSubstr("main: reusing"));
}

TEST_F(LifecycleTest, WithoutThePreviousImageNothingIsClaimedToBeThere) {
  world->buildpack("main", "true", kReusesLayer);
  world->group("main");
  world->build();
  world->store().untag(BuildWorld::kImage);
  world->build();
  EXPECT_THAT(world->log(), HasSubstr("main: making"));
}

// Issue 1131 of Knative's func: the layer of a build that failed later must not pass for the image's.
TEST_F(LifecycleTest, ALayerThatWasNeverExportedIsMadeAgain) {
  const auto with_version = [&](const std::string& version) {
    world->buildpack("deps", "true",
                     "if ! grep -q 'v = ." + version +
                         "' \"$1/d.toml\" 2>/dev/null; then\n"
                         "mkdir -p \"$1/d\"; echo " +
                         version +
                         " > \"$1/d/version\"; fi\n"
                         "printf '[types]\\nlaunch = true\\n[metadata]\\nv = \"" +
                         version + "\"\\n' > \"$1/d.toml\"");
  };
  world->group("deps main");
  with_version("1");
  world->buildpack("main", "true", kWeb);
  world->build();
  with_version("2");
  world->buildpack("main", "true", "exit 1");
  world->failure();
  world->buildpack("main", "true", kWeb);
  world->build();
  EXPECT_EQ(world->files().at("/layers/deps/d/version").content, "2\n");
}

TEST_F(LifecycleTest, AFailureKeepsTheEarlierImageAndTheOthersLayers) {
  world->buildpack("first", "true",
                   "if test -e \"$1/c/file\"; then echo cached; fi; mkdir -p \"$1/c\"; touch \"$1/c/file\"\n"
                   "printf '[types]\\ncache = true\\n' > \"$1/c.toml\"");
  world->buildpack("second", "true",
                   std::string(kWeb) + "mkdir \"$1/c\"; printf '[types]\\ncache = true\\n' > \"$1/c.toml\"");
  world->group("first second");
  const registry::Descriptor earlier = world->build().manifest;
  world->buildpack("second", "true", "echo half > \"$1/half\"; echo why it failed; exit 9");
  const Error error = world->failure();
  EXPECT_EQ(error.kind(), ErrorKind::Failed);
  EXPECT_THAT(error.message(), HasSubstr("second@1.0.0: bin/build failed with exit code 9"));
  EXPECT_THAT(world->log(), HasSubstr("second: why it failed"));
  EXPECT_EQ(world->store().resolve(BuildWorld::kImage), earlier);
  EXPECT_TRUE(fs::exists(world->kept() / "layers/first/c/file"));
  EXPECT_FALSE(fs::exists(world->kept() / "layers/second"));
  for (const char* name : {"app", "phase", "platform", "unfinished"})
    EXPECT_FALSE(fs::exists(world->kept() / name)) << name;
  world->buildpack("second", "true", kWeb);
  world->build();
  EXPECT_THAT(world->log(), HasSubstr("first: cached"));
}

TEST_F(LifecycleTest, AfterACrashTheCacheIsNotTrusted) {
  world->buildpack("main", "true",
                   std::string(kWeb) +
                       "test ! -e \"$1/c/file\" || echo cached; mkdir -p \"$1/c\"; touch \"$1/c/file\"\n"
                       "printf '[types]\\ncache = true\\n' > \"$1/c.toml\"");
  world->group("main");
  world->build();
  write_file(world->kept() / "unfinished", "");  // as a killed build leaves it
  world->build();
  EXPECT_THAT(world->log(), Not(HasSubstr("cached")));
  world->build();
  EXPECT_THAT(world->log(), HasSubstr("cached"));
  world->request.clear_cache = true;
  world->build();
  EXPECT_THAT(world->log(), Not(HasSubstr("cached")));
}

TEST_F(LifecycleTest, LaterBuildpacksSeeTheBuildLayersOfEarlierOnes) {
  world->buildpack("tools", "true",
                   "mkdir -p \"$1/b/bin\" \"$1/b/env\" \"$1/l/bin\"; printf yes > \"$1/b/env/FROM_LAYER\"\n"
                   "printf layer > \"$1/b/env/BOTH\"; printf '#!/bin/sh\\necho tool runs\\n' > "
                   "\"$1/b/bin/tool\"; chmod +x \"$1/b/bin/tool\"\n"
                   "printf '[types]\\nbuild = true\\n' > \"$1/b.toml\"; printf '[types]\\nlaunch = true\\n' "
                   "> \"$1/l.toml\"");
  world->buildpack("main", "true",
                   std::string(kWeb) + "tool; echo \"var $FROM_LAYER both $BOTH\"; echo \"path $PATH\"");
  world->request.build_env = {{"BOTH", "user"}, {"PATH", "/user"}};
  world->group("tools main");
  world->build();
  EXPECT_THAT(world->log(), HasSubstr("main: tool runs"));
  EXPECT_THAT(world->log(), HasSubstr("main: var yes both user"));
  EXPECT_THAT(world->log(), HasSubstr("main: path /user:/layers/tools/b/bin:/usr/bin:/bin"));
  EXPECT_THAT(world->files(), Not(Contains(Key("/layers/tools/b/bin/tool"))));  // for building only
}

TEST_F(LifecycleTest, AMetPlanEntryIsNotGivenToTheNextProvider) {
  const std::string provides = "printf '[[provides]]\\nname=\"x\"\\n[[provides]]\\nname=\"y\"\\n' > \"$2\"";
  const std::string shows = "echo \"plan $(tr '\\n' ' ' < \"$3\")\"\n";
  world->buildpack("one", provides, shows + "printf '[[unmet]]\\nname = \"y\"\\n' > \"$1/build.toml\"");
  world->buildpack("two", provides, shows);
  world->buildpack("main", "printf '[[requires]]\\nname=\"x\"\\n[[requires]]\\nname=\"y\"\\n' > \"$2\"",
                   kWeb);
  world->group("one two main");
  world->build();
  EXPECT_THAT(world->log(), testing::ContainsRegex("one: plan .*'?x.*'?y"));
  EXPECT_THAT(world->log(), testing::ContainsRegex("two: plan .*y"));
  EXPECT_THAT(world->log(), Not(testing::ContainsRegex("two: plan .*['\"]x['\"]")));
}

TEST_F(LifecycleTest, NothingOfTheHostsNetworkIsInTheImage) {
  const std::string proxy = "http://proxy.invalid:3128";
  ::setenv("http_proxy", proxy.c_str(), 1);
  world->buildpack("main", "true",
                   std::string(kWeb) + "test -n \"$http_proxy\"; env > /workspace/seen; touch seen-by-build");
  world->group("main");
  world->build();
  ::unsetenv("http_proxy");
  auto files = world->files();
  EXPECT_THAT(files.at("/workspace/seen").content, HasSubstr(proxy));
  files.erase("/workspace/seen");  // the buildpack's own doing
  for (const auto& [name, entry] : files) {
    EXPECT_THAT(name, Not(HasSubstr("ca-certificates")));
    EXPECT_EQ(entry.content.find(proxy), std::string::npos) << name;
  }
  EXPECT_THAT(registry::serialize(world->image().config),
              AllOf(Not(HasSubstr(proxy)), Not(HasSubstr("SSL_CERT_FILE"))));
}

TEST_F(LifecycleTest, ALaunchLayerThatIsALinkIsNotPacked) {
  world->buildpack(
      "main", "true",
      std::string(kWeb) + "ln -s /etc \"$1/x\"; printf '[types]\\nlaunch = true\\n' > \"$1/x.toml\"");
  world->group("main");
  EXPECT_THAT(world->failure().message(), HasSubstr("declares launch layer \"x\" without content"));
}

TEST_F(LifecycleTest, ABuildpacksFolderTurnedLinkReachesNothing) {
  world->source("../precious/file.toml", "[types]\ncache = true\n");
  const fs::path precious = world->request.source.parent_path() / "precious";
  world->buildpack("main", "true", kWeb);
  world->group("main");
  world->build();
  remove_tree(world->kept() / "layers/main");
  fs::create_directory_symlink(precious, world->kept() / "layers/main");
  world->build();
  EXPECT_TRUE(fs::exists(precious / "file.toml"));
  EXPECT_TRUE(fs::is_directory(fs::symlink_status(world->kept() / "layers/main")));
}

TEST_F(LifecycleTest, BadOutputIsTheBuildpacksFailure) {
  world->group("main");
  for (const char* launch :
       {"processes = 3", "[[processes]]\ntype = 3", "[[processes]]\ntype = \"..\"\ncommand = [\"x\"]",
        "[[processes]]\ntype = \"web\"", "[[labels]]\nvalue = \"x\"", "[["}) {
    world->buildpack("main", "true", "cat > \"$1/launch.toml\" <<'END'\n" + std::string(launch) + "\nEND");
    const Error error = world->failure();
    EXPECT_EQ(error.kind(), ErrorKind::Failed) << launch;
    EXPECT_THAT(error.full(), HasSubstr("main@1.0.0")) << launch;
  }
  world->buildpack("main", "true", "true");
  EXPECT_THAT(world->failure().message(), HasSubstr("no buildpack declared a process"));
}

TEST(PreviousLayers, StrangeLabelsMeanNoReuse) {
  TempDir dir;
  registry::Store store(dir.path());
  registry::Image image;
  EXPECT_TRUE(previous_layers(std::nullopt, store).empty());
  EXPECT_TRUE(previous_layers(image, store).empty());
  const std::string sha = sha256("x").text();
  for (const std::string& label : {std::string("{"), std::string("[]"), std::string(R"({"buildpacks":3})"),
                                   std::string(R"({"buildpacks":[3]})"),
                                   R"({"buildpacks":[{"key":"a","layers":{"l":{"sha":")" + sha + R"("}}}]})",
                                   std::string(R"({"buildpacks":[{"key":"a","layers":{"l":{"sha":3}}}]})")}) {
    image.config.labels[kLifecycleLabel] = label;
    EXPECT_TRUE(previous_layers(image, store).empty()) << label;
  }
  // A digest that the config names and the manifest has no layer for.
  image.config.diff_ids = {sha256("x")};
  image.config.labels[kLifecycleLabel] =
      R"({"buildpacks":[{"key":"a","layers":{"l":{"sha":")" + sha + R"("}}}]})";
  EXPECT_TRUE(previous_layers(image, store).empty());
}

}  // namespace
}  // namespace kiln::builders
