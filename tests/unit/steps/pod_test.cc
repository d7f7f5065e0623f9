#include <gmock/gmock.h>
#include <sys/stat.h>

#include "base/error.h"
#include "tests/unit/steps/pod_world.h"

namespace kiln::steps {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST_F(PodTest, StepsShareTheirFoldersAndLeaveResults) {
  pod.results = {"greeting", "missing"};
  pod.steps = {
      script("one", "echo shared > /workspace/file; echo home > /tekton/home/x; test -d /tekton/artifacts"),
      script("two", "cat /workspace/file /tekton/home/x > /tekton/results/greeting")};
  const PodOutcome outcome = run();
  EXPECT_TRUE(outcome.succeeded) << outcome.message << recorder.output;
  EXPECT_EQ(outcome.reason, "Succeeded");
  EXPECT_EQ(outcome.results, (std::map<std::string, std::string>{{"greeting", "shared\nhome\n"}}));
  EXPECT_THAT(recorder.events, ElementsAre("start 0", "finish 0 Completed", "start 1", "finish 1 Completed"));
  EXPECT_EQ(outcome.steps[0].image_digest, "sha256:test");
}

TEST_F(PodTest, AFailureSkipsTheRestButKeepsResults) {
  pod.results = {"r"};
  pod.steps = {script("one", "printf 'verbatim\\n\\n' > /tekton/results/r; exit 3"),
               script("two", "echo never")};
  const PodOutcome outcome = run();
  EXPECT_FALSE(outcome.succeeded);
  EXPECT_FALSE(outcome.infrastructure);
  EXPECT_EQ(outcome.reason, "StepFailed");
  EXPECT_EQ(outcome.message, "\"step-one\" exited with code 3: Error");
  EXPECT_EQ(outcome.results.at("r"), "verbatim\n\n");
  EXPECT_EQ(outcome.steps[1].reason, StepReason::Skipped);
  EXPECT_EQ(recorder.output, "");
}

TEST_F(PodTest, ContinueOnErrorGoesOnAndShowsTheExitCode) {
  pod.steps = {script("one", "exit 9"),
               script("two", "cat /tekton/steps/step-one/exitCode /tekton/steps/0/exitCode")};
  pod.steps[0].continue_on_error = true;
  const PodOutcome outcome = run();
  EXPECT_TRUE(outcome.succeeded) << outcome.message;
  EXPECT_EQ(outcome.steps[0].reason, StepReason::Continued);
  EXPECT_EQ(outcome.steps[0].exit_code, 9);
  EXPECT_EQ(recorder.output, "99");
}

TEST_F(PodTest, ContinueOnErrorDoesNotCoverACommandThatCannotRun) {
  pod.steps = {script("one", "")};
  pod.steps[0].command = {"no-such-program"};
  pod.steps[0].continue_on_error = true;
  const PodOutcome outcome = run();
  EXPECT_EQ(outcome.reason, "StepFailed");
  EXPECT_THAT(outcome.message, HasSubstr("not found in PATH: no-such-program"));
  EXPECT_EQ(outcome.steps[0].exit_code, 127);
}

TEST_F(PodTest, TektonsOwnFilesCannotBeWrittenByOthers) {
  pod.steps = {
      script("one", "echo forged > /tekton/run/0/status/exitCode"), script("two", "rm /tekton/steps/0"),
      script("three", "echo x > /tekton/run/0/status/results/x"),
      script("four", "echo x > /tekton/run/3/status/results/x && echo x > /tekton/steps/step-four/results/y"),
      script("five", "echo x >> /tekton/scripts/script-4")};
  for (StepSpec& step : pod.steps) step.continue_on_error = true;
  const PodOutcome outcome = run();
  for (size_t i : {0, 1, 2, 4}) EXPECT_NE(outcome.steps[i].exit_code, 0) << i;
  EXPECT_EQ(outcome.steps[3].exit_code, 0) << recorder.output;
}

TEST_F(PodTest, ScriptsHonourShebangsAndGetArgs) {
  pod.steps = {script("one", "#!/usr/bin/perl\nprint \"perl @ARGV\\n\";"),
               script("two", "echo sh $1 $$(x) | grep -v pid")};
  pod.steps[0].args = {"a", "$(V)"};
  pod.steps[0].env = {{"V", "b"}};
  pod.steps[1].script = "echo \"$0 $1\"; false; echo unreachable";
  pod.steps[1].args = {"c"};
  const PodOutcome outcome = run();
  EXPECT_EQ(recorder.output, "perl a b\n/tekton/scripts/script-1 c\n");
  EXPECT_EQ(outcome.steps[1].exit_code, 1) << "set -e";
}

TEST_F(PodTest, TheImagesUserRunsTheStepAndCanWriteWhereStepsWrite) {
  config.user = "kiln";
  config.working_dir = "/app";
  pod.results = {"who"};
  const fs::path source = world.folder() / "source";
  make_dirs(source);
  ::chmod(source.c_str(), 0777);
  pod.workspaces = {{source, "/workspace/source", false}};
  pod.steps = {
      script("one",
             "id -u > /tekton/results/who; pwd; touch /tekton/home/x /workspace/x /workspace/source/x; "
             "echo $HOME")};
  const PodOutcome outcome = run();
  EXPECT_TRUE(outcome.succeeded) << outcome.message << recorder.output;
  EXPECT_EQ(outcome.results.at("who"), "1000\n");
  EXPECT_EQ(recorder.output, "/app\n/home/kiln\n");
  EXPECT_TRUE(fs::exists(source / "x"));
}

TEST_F(PodTest, WorkingDirectoriesAreMadeAndRelativeOnesAreInTheWorkspace) {
  pod.steps = {script("one", "pwd"), script("two", "pwd")};
  pod.steps[0].working_dir = "/made/up";
  pod.steps[1].working_dir = "sub";
  run();
  EXPECT_EQ(recorder.output, "/made/up\n/workspace/sub\n");
}

TEST_F(PodTest, AResultThatIsTooLargeIsNamed) {
  pod.results = {"big"};
  pod.result_limit = 100;
  pod.steps = {script("one", "head -c 101 /dev/zero > /tekton/results/big")};
  const PodOutcome outcome = run();
  EXPECT_FALSE(outcome.succeeded);
  EXPECT_EQ(outcome.reason, "TaskRunResultLargerThanAllowedLimit");
  EXPECT_THAT(outcome.message, HasSubstr("\"big\""));
  EXPECT_THAT(outcome.message, HasSubstr("101 bytes"));
}

TEST_F(PodTest, ResultsThatAreNoPlainFilesAreNotRead) {
  write_file(world.folder() / "secret", "host");
  pod.results = {"link", "fifo", "up/../../secret"};
  pod.steps = {script("one", "ln -s " + (world.folder() / "secret").native() +
                                 " /tekton/results/link; mkfifo /tekton/results/fifo")};
  const PodOutcome outcome = run();
  EXPECT_TRUE(outcome.succeeded) << outcome.message;
  EXPECT_TRUE(outcome.results.empty());
}

TEST_F(PodTest, StepAndPodTimeoutsAreToldApart) {
  pod.steps = {script("slow", "sleep 1000")};
  pod.steps[0].timeout = std::chrono::milliseconds(30);
  PodOutcome outcome = run();
  EXPECT_EQ(outcome.reason, "StepFailed");
  EXPECT_EQ(outcome.steps[0].reason, StepReason::TimeoutExceeded);
  EXPECT_EQ(outcome.message, "\"step-slow\" exited because the step exceeded the specified timeout limit");
  pod.steps[0].timeout = std::chrono::hours(1);
  outcome = run({}, std::chrono::milliseconds(30));
  EXPECT_EQ(outcome.reason, "TaskRunTimeout");
  EXPECT_EQ(outcome.steps[0].reason, StepReason::TimeoutExceeded);
}

TEST_F(PodTest, CancellingEndsTheRunningStepAndThoseThatWouldFollow) {
  std::stop_source stop;
  recorder.on_output = [&] { stop.request_stop(); };
  pod.steps = {script("one", "echo running; sleep 1000"), script("two", "echo never")};
  const PodOutcome outcome = run(stop.get_token());
  EXPECT_EQ(outcome.reason, "TaskRunCancelled");
  EXPECT_EQ(outcome.steps[0].reason, StepReason::Cancelled);
  EXPECT_EQ(outcome.steps[1].reason, StepReason::Cancelled);
}

TEST_F(PodTest, KillingWaitsForNoGrace) {
  std::stop_source kill;
  recorder.on_output = [&] { kill.request_stop(); };
  pod.grace = std::chrono::hours(1);
  pod.kill = kill.get_token();
  pod.steps = {script("one", "trap '' TERM; echo running; while :; do sleep 0.01; done")};
  EXPECT_EQ(run().reason, "TaskRunCancelled");
}

TEST_F(PodTest, AnImageThatCannotBeHadStartsNothing) {
  pod.steps = {script("one", "echo never"), script("two", "")};
  pod.steps[1].image = "elsewhere/image";
  const PodOutcome outcome = run();
  EXPECT_EQ(outcome.reason, "TaskRunImagePullFailed");
  EXPECT_TRUE(outcome.infrastructure);
  EXPECT_THAT(outcome.message, HasSubstr("elsewhere/image"));
  EXPECT_THAT(outcome.message, HasSubstr("the registry is down"));
  EXPECT_EQ(outcome.steps[0].reason, StepReason::NotStarted);
  EXPECT_EQ(recorder.output, "");
}

TEST_F(PodTest, TheHostImageNeedsToBeAllowed) {
  pod.steps = {
      script("one", "echo on $(cat /proc/1/comm); touch /etc/kiln-was-here 2>/dev/null || echo read-only")};
  pod.steps[0].image = "host";
  pod.steps[0].mounts.clear();
  PodOutcome outcome = run();
  EXPECT_EQ(outcome.reason, "TaskRunValidationFailed");
  EXPECT_THAT(outcome.message, HasSubstr("--allow-host"));
  pod.allow_host_image = true;
  outcome = run();
  EXPECT_TRUE(outcome.succeeded) << outcome.message << recorder.output;
  EXPECT_EQ(recorder.output, "on kiln-sandbox\nread-only\n");
}

// The "kiln" of these tests is /usr/bin/env, whose first argument is the verb.
TEST_F(PodTest, TheKilnImageRunsKilnItself) {
  const fs::path store = world.folder() / "store";
  options.kiln_verbs = {"sh"};
  options.inherited_env = {"GIVEN=1"};
  StepSpec step{.name = "build",
                .image = "kiln",
                .args = {"sh", "-c", "echo $KILN_STEP $GIVEN; touch " + store.native() + "/x"}};
  pod.steps = {step};
  PodOutcome outcome = run();
  EXPECT_TRUE(outcome.succeeded) << outcome.message << recorder.output;
  EXPECT_EQ(recorder.output, "/workspace:/tekton 1\n");
  EXPECT_TRUE(fs::exists(store / "x"));
  pod.steps[0].args = {"serve"};
  outcome = run();
  EXPECT_EQ(outcome.reason, "TaskRunValidationFailed");
  EXPECT_THAT(outcome.message, HasSubstr("cannot run `kiln serve`"));
}

TEST_F(PodTest, TheMachinesCertificatesAreThere) {
  if (!fs::exists("/etc/ssl/certs/ca-certificates.crt")) GTEST_SKIP() << "this machine has no CA bundle";
  pod.steps = {script(
      "one",
      "test -s $SSL_CERT_FILE && test -s $PIP_CERT && (echo x >> $SSL_CERT_FILE) 2>/dev/null || echo kept")};
  run();
  EXPECT_EQ(recorder.output, "kept\n");
}

TEST_F(PodTest, AnUnknownImageUserIsTheImagesFault) {
  config.user = "ghost";
  pod.steps = {script("one", "true")};
  const PodOutcome outcome = run();
  EXPECT_EQ(outcome.reason, "CreateContainerConfigError");
  EXPECT_FALSE(outcome.infrastructure);
  EXPECT_THAT(outcome.message, HasSubstr("ghost"));
}

}  // namespace
}  // namespace kiln::steps
