#include "steps/cgroup.h"
#include "tests/unit/steps/world.h"

namespace kiln::steps {
namespace {

class LimitsTest : public testing::Test {
 protected:
  void SetUp() override {
    KILN_NEEDS_SANDBOX();
    std::vector<std::string> warnings;
    const Cgroup probe("probe-of-" + world.command({}).id, {.memory_bytes = 64 << 20, .pids = 10, .cpus = 1},
                       warnings);
    if (!warnings.empty()) GTEST_SKIP() << "cgroups are not ours here: " << warnings[0];
  }
  // Folders with the sandbox's name in any cgroup hierarchy.
  int groups_left(const std::string& id, const fs::path& below = "/sys/fs/cgroup") {
    int left = 0;
    std::error_code gone;  // groups of others come and go meanwhile
    for (fs::directory_iterator it(below, gone); !gone && it != fs::directory_iterator(); it.increment(gone))
      if (it->is_directory(gone) && !it->is_symlink(gone))
        left += (it->path().filename() == id) + groups_left(id, it->path());
    return left;
  }
  World world;
};

TEST_F(LimitsTest, MemoryBeyondTheLimitIsOutOfMemory) {
  SandboxSpec spec = world.command({"perl", "-e", "$x = 'a' x (400 << 20); print length $x"});
  spec.resources.memory_bytes = 64 << 20;
  const auto ran = world.run(spec);
  EXPECT_EQ(ran.status.code, 137);
  EXPECT_TRUE(ran.status.out_of_memory);
  EXPECT_EQ(groups_left(spec.id), 0);
}

TEST_F(LimitsTest, AKillForAnotherReasonIsNotOutOfMemory) {
  SandboxSpec spec = world.shell("kill -9 $$");
  spec.resources.memory_bytes = 64 << 20;
  EXPECT_FALSE(world.run(spec).status.out_of_memory);
}

TEST_F(LimitsTest, ProcessesAreCounted) {
  SandboxSpec spec = world.shell("for i in 1 2 3 4 5 6 7 8 9 10; do sleep 100 & done; echo all");
  spec.resources.pids = 5;
  const auto ran = world.run(spec);
  EXPECT_EQ(ran.out.find("all"), std::string::npos) << ran.out;
  EXPECT_EQ(groups_left(spec.id), 0);
}

TEST_F(LimitsTest, KilledSandboxesLeaveNoGroup) {
  SandboxSpec spec = world.command({"sleep", "1000"});
  spec.resources = {.memory_bytes = 64 << 20, .pids = 10, .cpus = 0.5};
  {
    const auto sandbox = world.runtime().start(spec, {});
    EXPECT_GT(groups_left(spec.id), 0);
  }
  EXPECT_EQ(groups_left(spec.id), 0);
}

TEST(LimitsWithoutCgroupsTest, AreWarnedAboutAndTheStepRuns) {
  KILN_NEEDS_SANDBOX();
  if (::geteuid() == 0) GTEST_SKIP() << "root may use cgroups; the rootless run of this suite covers it";
  World world;
  SandboxSpec spec = world.command({"true"});
  spec.resources.memory_bytes = 64 << 20;
  const auto ran = world.run(spec);
  EXPECT_EQ(ran.status.code, 0);
  for (const std::string& warning : ran.warnings) EXPECT_TRUE(warning.starts_with("memory is not limited: "));
}

}  // namespace
}  // namespace kiln::steps
