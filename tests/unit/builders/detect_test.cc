#include <gmock/gmock.h>

#include "builders/build_room.h"
#include "steps/user_namespace.h"
#include "tests/unit/builders/build_world.h"

namespace kiln::builders {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class DetectTest : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string problem = steps::sandbox_problem(); !problem.empty())
      GTEST_SKIP() << "no sandboxes here: " << problem;
    world = std::make_unique<BuildWorld>();
  }
  std::unique_ptr<BuildWorld> world;
};

TEST_F(DetectTest, AFailurePrintsWhatEveryBuildpackSaid) {
  world->buildpack("one", "echo no package.json; exit 100", "true");
  world->buildpack("two", "echo no main.py >&2; exit 100", "true");
  world->buildpack("three", "exit 100", "true");
  world->buildpack("passes", "true", "true");
  world->group("one");
  world->group("two passes");
  world->group("three");
  const Error error = world->failure();
  EXPECT_EQ(error.kind(), ErrorKind::Failed);
  for (const char* line : {"one@1.0.0: no package.json", "two@1.0.0: no main.py",
                           "three@1.0.0: did not say why", "passes@1.0.0: passed"})
    EXPECT_THAT(error.message(), HasSubstr(line));
  EXPECT_FALSE(error.hint().empty());
}

TEST_F(DetectTest, AnExitCodeThatMeansNothingIsReportedAsSuch) {
  world->buildpack("broken", "echo oops; exit 3", "true");
  world->group("broken");
  EXPECT_THAT(world->failure().message(), HasSubstr("broken@1.0.0: error (exit code 3): oops"));
}

TEST_F(DetectTest, APlanOfNoUseCountsAgainstItsBuildpackAlone) {
  world->buildpack("bad", "printf 'provides = 3' > \"$2\"", "true");
  world->buildpack("good", "true", kWeb);
  world->group("bad");
  world->group("good");
  EXPECT_THAT(world->build().buildpacks, ElementsAre("good@1.0.0"));
}

TEST_F(DetectTest, ABadPlanIsExplainedWhenNothingElseFits) {
  world->buildpack("bad", "printf '[[requires]]\\nname=\"x\"\\nversion=\"1\"\\n' > \"$2\"", "true");
  world->buildpack("lonely", "printf '[[provides]]\\nname=\"y\"\\n' > \"$CNB_BUILD_PLAN_PATH\"", "true");
  world->group("bad");
  world->group("lonely");
  const std::string message = world->failure().message();
  EXPECT_THAT(
      message,
      HasSubstr("bad@1.0.0: error in its build plan: bad@1.0.0: [[requires]] has a top-level version"));
  EXPECT_THAT(message, HasSubstr("lonely@1.0.0 provides \"y\", which nothing requires"));
}

TEST_F(DetectTest, OneBuildpackCannotReachTheExchangeFolderOfAnother) {
  world->buildpack("spy", "test \"$(ls /kiln-phase | wc -l)\" = 1", kWeb);
  world->buildpack("other", "true", "true");
  world->group("spy other");
  EXPECT_THAT(world->build().buildpacks, ElementsAre("spy@1.0.0", "other@1.0.0"));
}

TEST_F(DetectTest, APlanThatIsALinkOrAPipeIsNotRead) {
  world->buildpack("link", "rm \"$2\"; ln -s /etc/shadow \"$2\"", "true");
  world->buildpack("pipe", "rm \"$2\"; mkfifo \"$2\"", "true");
  world->group("link");
  world->group("pipe");
  const std::string message = world->failure().message();
  EXPECT_THAT(message, HasSubstr("link@1.0.0: error in its build plan: "));
  EXPECT_THAT(message, HasSubstr("pipe@1.0.0: error in its build plan: "));
  EXPECT_THAT(message, Not(HasSubstr("root:")));
}

TEST_F(DetectTest, SeesTheContractsEnvironment) {
  world->request.build_env = {{"FROM_USER", "yes"}};
  world->buildpack(
      "env",
      "test \"$1\" = \"$CNB_PLATFORM_DIR\"; test \"$2\" = \"$CNB_BUILD_PLAN_PATH\"\n"
      "test -x \"$CNB_BUILDPACK_DIR/bin/detect\"; test \"$PWD\" = /workspace\n"
      "test \"$CNB_TARGET_OS-$CNB_TARGET_DISTRO_NAME-$CNB_TARGET_DISTRO_VERSION\" = linux-debian-12\n"
      "test \"$FROM_USER\" = yes; test \"$(cat /platform/env/FROM_USER)\" = yes\n"
      "test \"$(id -u):$(id -g)\" = 1000:1000",
      kWeb);
  world->buildpack("clear", "test -z \"$FROM_USER\"; test -e /platform/env/FROM_USER", "true",
                   "clear-env = true");
  world->group("env clear");
  EXPECT_THAT(world->build().buildpacks, ElementsAre("env@1.0.0", "clear@1.0.0"));
}

TEST_F(DetectTest, AnExtensionSwitchesTheRunImage) {
  world->run_image("other/run:latest");
  world->extension("switch", "printf '# comment\\nFROM other/run\\n' > \"$CNB_OUTPUT_DIR/run.Dockerfile\"");
  world->buildpack("main", "true", kWeb);
  world->group("main");
  world->build();
  EXPECT_THAT(world->label("io.buildpacks.lifecycle.metadata"), HasSubstr("\"image\":\"other/run\""));
  const registry::Image other = world->store().load(world->store().resolve("other/run:latest").value());
  EXPECT_EQ(world->image().manifest.layers.front(), other.manifest.layers.front());
}

TEST_F(DetectTest, AnExtensionThatDoesMoreIsRefused) {
  world->extension("more", "printf 'FROM kiln/run\\nRUN true\\n' > \"$1/run.Dockerfile\"");
  world->buildpack("main", "true", kWeb);
  world->group("main");
  EXPECT_THAT(world->failure().message(), HasSubstr("\"RUN true\"; only a single FROM is supported here"));
}

TEST_F(DetectTest, ARunDockerfileThatIsALinkIsNotRead) {
  world->extension("link", "ln -s /etc/passwd \"$1/run.Dockerfile\"");
  world->buildpack("main", "true", kWeb);
  world->group("main");
  EXPECT_THAT(world->failure().message(), HasSubstr("run.Dockerfile is not a regular file"));
}

}  // namespace
}  // namespace kiln::builders
