#include <gmock/gmock.h>

#include "base/error.h"
#include "steps/pod_run.h"
#include "tests/unit/steps/world.h"

namespace kiln::steps {
namespace {

using testing::HasSubstr;

class Output final : public PodObserver {
 public:
  void step_started(size_t, const StepSpec&) override {}
  void step_output(size_t, bool, std::string_view bytes) override { text += bytes; }
  void step_finished(size_t, const StepOutcome&) override {}
  std::string text;
};

// One step in the test world's root, whose home is /root for user 0 and /home/kiln for user 1000.
class PodSecurity : public testing::Test {
 protected:
  void SetUp() override {
    KILN_NEEDS_SANDBOX();
    pod.name = "run-task";
    pod.folder = world.folder() / "pod";
    step = {.name = "s", .image = "test"};
    for (const Mount& mount : world.command({}).mounts)
      step.mounts.push_back({mount.source, mount.destination, true});
  }
  PodOutcome run(std::string script) {
    step.script = std::move(script);
    pod.steps = {step};
    const ImageSource images = [&](const StepSpec&, std::stop_token) {
      return StepImage{{world.rootfs()}, config, "sha256:test"};
    };
    return PodRun(world.runtime(), images, {}, pod, output, {}, {}).run();
  }
  void add_credential(const fs::path& file, std::string content) {
    pod.credentials.folder = world.folder() / "private";
    make_dirs((pod.credentials.folder / file).parent_path(), 0700);
    write_file(pod.credentials.folder / file, content, 0600);
    pod.credentials.files.push_back(file);
  }
  World world;
  registry::ImageConfig config;
  PodSpec pod;
  StepSpec step;
  Output output;
};

TEST_F(PodSecurity, CredentialsAreTheStepsOwnAndNobodyElses) {
  add_credential(".gitconfig", "git");
  add_credential(".ssh/id_x", "key");
  step.run_as_user = 1000;
  step.run_as_group = 1000;
  run("stat -c '%a %u' /tekton/creds/.ssh /tekton/creds/.ssh/id_x $HOME/.gitconfig; cat $HOME/.ssh/id_x; "
      "mv $HOME/.gitconfig $HOME/moved && echo ' not a mount'");
  EXPECT_EQ(output.text, "700 1000\n600 1000\n600 1000\nkey not a mount\n");
}

TEST_F(PodSecurity, AFileOfTheImageWinsOverACredential) {
  make_dirs(world.rootfs() / "root");
  write_file(world.rootfs() / "root/.gitconfig", "image's");
  add_credential(".gitconfig", "git");
  run("cat /root/.gitconfig /tekton/creds/.gitconfig");
  EXPECT_EQ(output.text, "image'sgit");
}

TEST_F(PodSecurity, ALinkOfTheImageLeadsACredentialNowhereOutside) {
  const fs::path outside = world.folder() / "outside";
  make_dirs(outside);
  make_dirs(world.rootfs() / "root");
  fs::create_symlink(outside, world.rootfs() / "root/.ssh");
  add_credential(".ssh/id_x", "key");
  run("true");
  EXPECT_TRUE(fs::is_empty(outside));
}

TEST_F(PodSecurity, RunAsNonRootRefusesRoot) {
  step.run_as_non_root = true;
  const PodOutcome refused = run("echo started");
  EXPECT_EQ(refused.reason, "CreateContainerConfigError");
  EXPECT_THAT(refused.message, HasSubstr("it has runAsNonRoot, and the user of test is root"));
  EXPECT_EQ(output.text, "");
  step.run_as_user = 1000;
  EXPECT_TRUE(run("echo started").succeeded);
}

TEST_F(PodSecurity, CapabilitiesAreAsAskedFor) {
  step.capabilities = 1;
  run("grep -E 'CapEff|CapBnd' /proc/self/status");
  EXPECT_EQ(output.text, "CapEff:\t0000000000000001\nCapBnd:\t0000000000000001\n");
}

TEST_F(PodSecurity, APrivilegedStepMayMount) {
  EXPECT_FALSE(run("mkdir /m; mount -t tmpfs none /m").succeeded);
  step.privileged = true;
  const PodOutcome outcome = run("mkdir /m; mount -t tmpfs none /m");
  EXPECT_TRUE(outcome.succeeded) << outcome.message << output.text;
}

TEST_F(PodSecurity, SupplementaryGroupsAreAdded) {
  KILN_NEEDS_ROOT();
  step.run_as_user = 1000;
  step.groups = {3000};
  run("id -G");
  EXPECT_EQ(output.text, "1000 2000 3000\n");
}

}  // namespace
}  // namespace kiln::steps
