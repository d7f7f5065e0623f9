#include <csignal>
#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "tests/unit/steps/pod_world.h"

namespace kiln::steps {
namespace {

using testing::HasSubstr;

TEST_F(PodTest, AStepsResultsAndArtifactsAreReadWhenItEnds) {
  pod.steps = {script("one",
                      "cd /tekton/steps/step-one; printf 'a\\n' > results/r; printf x > results/other;"
                      "printf '{}' > artifacts/provenance.json; printf '{\"a\":1}' > "
                      "/tekton/artifacts/provenance.json; exit 4")};
  pod.steps[0].results = {"r", "missing"};
  pod.steps[0].continue_on_error = true;
  const PodOutcome outcome = run();
  EXPECT_EQ(outcome.steps[0].results, (std::map<std::string, std::string>{{"r", "a\n"}}));
  EXPECT_EQ(outcome.steps[0].artifacts, "{}");
  EXPECT_EQ(outcome.artifacts, "{\"a\":1}");
}

TEST_F(PodTest, AStepResultThatIsTooLargeIsNamed) {
  pod.result_limit = 4;
  pod.steps = {script("one", "printf 12345 > /tekton/steps/step-one/results/r"), script("two", "echo never")};
  pod.steps[0].results = {"r"};
  const PodOutcome outcome = run();
  EXPECT_EQ(outcome.reason, "TaskRunResultLargerThanAllowedLimit");
  EXPECT_THAT(outcome.message, HasSubstr("the result \"r\" of step one is 5"));
  EXPECT_EQ(outcome.steps[1].reason, StepReason::Skipped);
}

TEST_F(PodTest, TheGuideFinishesAStepWithWhatTheOnesBeforeLeft) {
  pod.steps = {script("one", "printf 42 > /tekton/steps/step-one/results/r"), script("two", "echo $1")};
  pod.steps[0].results = {"r"};
  pod.guide = [](size_t index, StepSpec& step, const std::vector<StepOutcome>& before) {
    if (index == 1) step.args = {before.at(0).results.at("r")};
    return StepTurn{.run = true, .notes = {"said"}};
  };
  EXPECT_TRUE(run().succeeded);
  EXPECT_EQ(recorder.output, "kiln: note: said\nkiln: note: said\n42\n");
}

TEST_F(PodTest, AStepThatTheGuideSkipsHasExitCodeZeroAndTheRestRuns) {
  pod.steps = {script("one", "echo never"), script("two", "cat /tekton/steps/step-one/exitCode")};
  pod.guide = [](size_t index, StepSpec&, const std::vector<StepOutcome>&) {
    return StepTurn{.run = index == 1, .notes = {}};
  };
  const PodOutcome outcome = run();
  EXPECT_TRUE(outcome.succeeded) << outcome.message;
  EXPECT_EQ(outcome.steps[0].reason, StepReason::Skipped);
  EXPECT_EQ(outcome.steps[0].exit_code, 0);
  EXPECT_EQ(recorder.output, "0");
}

TEST_F(PodTest, StreamsGoToTheirFilesAndToTheLog) {
  config.user = "kiln";
  pod.results = {"out"};
  pod.steps = {script("one", "echo words; echo problems >&2; test -O /tekton/results/out"),
               script("two", "cat deep/er/both; stat -c %U deep/er/both")};
  pod.steps[0].stdout_path = "/tekton/results/out";
  pod.steps[0].stderr_path = "deep/er/both";
  pod.steps[1].working_dir = "/workspace";
  const PodOutcome outcome = run();
  EXPECT_TRUE(outcome.succeeded) << outcome.message << recorder.output;
  EXPECT_EQ(outcome.results.at("out"), "words\n");
  EXPECT_EQ(recorder.output, "words\nproblems\nproblems\nkiln\n");
}

TEST_F(PodTest, BothStreamsMayHaveOneFileAndAnEarlierOneIsAddedTo) {
  pod.steps = {script("one", "echo a; echo b >&2"), script("two", "echo c"),
               script("three", "sort /workspace/f")};
  pod.steps[0].stdout_path = pod.steps[0].stderr_path = pod.steps[1].stdout_path = "/workspace/f";
  EXPECT_TRUE(run().succeeded);
  EXPECT_THAT(recorder.output, testing::EndsWith("a\nb\nc\n"));
}

TEST_F(PodTest, AStreamsFileCannotLeadOutOrHangOrVanish) {
  const fs::path outside = world.folder() / "outside";
  make_dirs(outside);
  ::chmod(outside.c_str(), 0777);
  const auto ends_with = [&](const std::string& prepare, const std::string& path) {
    pod.steps = {script("one", prepare), script("two", "echo written")};
    pod.steps[1].stdout_path = path;
    recorder.events.clear();
    return run();
  };
  const std::string link = "ln -sfn " + outside.native() + " /workspace/l; ln -sfn " + outside.native() +
                           "/f /workspace/lf; rm -f /workspace/p; mkfifo /workspace/p";
  for (const char* path : {"/workspace/l/f", "/workspace/lf", "/workspace/p", "/tmp/f", "/tekton/scripts/f",
                           "/workspace/../etc/f", "/workspace", "/usr/f"}) {
    const PodOutcome outcome = ends_with(link, path);
    EXPECT_EQ(outcome.reason, "CreateContainerConfigError") << path;
    EXPECT_THAT(outcome.message, HasSubstr("step two could not be started: stdoutConfig.path"));
  }
  EXPECT_TRUE(fs::is_empty(outside));
}

TEST_F(PodTest, AFullDiskUnderAStreamsFileIsNotToldAsAStepThatNeverStarted) {
  constexpr rlim_t kRoom = 4 << 20;
  pod.steps = {script("one", "head -c 8000000 /dev/zero; exec sleep 1000")};
  pod.steps[0].stdout_path = "/workspace/f";
  rlimit before;
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small{std::min(kRoom, before.rlim_max), before.rlim_max};
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);  // EFBIG instead
  ::setrlimit(RLIMIT_FSIZE, &small);
  const PodOutcome outcome = run();
  ::setrlimit(RLIMIT_FSIZE, &before);
  ::signal(SIGXFSZ, handler);
  EXPECT_TRUE(outcome.infrastructure);
  EXPECT_EQ(outcome.reason, "Failed");
  EXPECT_THAT(outcome.message, testing::StartsWith("step one was ended: /workspace/f: "));
  EXPECT_EQ(outcome.steps.at(0).exit_code, 128 + SIGKILL);
  EXPECT_EQ(outcome.steps.at(0).reason, StepReason::Error);
}

TEST_F(PodTest, AnImageIsAskedForOnceAndAFailingOneEndsTheWaitForTheOthers) {
  pod.steps = {script("one", "true"), script("two", "true"), script("three", "true"), script("four", "true")};
  pod.steps[1].image = "slow";
  pod.steps[3].image = "broken";
  std::mutex mutex;
  std::map<std::string, int> asked;
  const ImageSource images = [&](const StepSpec& step, std::stop_token stop) -> StepImage {
    {
      const std::lock_guard lock(mutex);
      ++asked[step.image];
    }
    if (step.image == "broken") throw Error(ErrorKind::Unavailable, "the registry is down", "start it");
    if (step.image == "slow") {  // forever, unless cancelled
      std::condition_variable_any stopped;
      std::unique_lock lock(mutex);
      stopped.wait(lock, stop, [] { return false; });
      throw Error(ErrorKind::Cancelled, "cancelled");
    }
    return {{world.rootfs()}, config, "sha256:test"};
  };
  const PodOutcome outcome = PodRun(world.runtime(), images, options, pod, recorder, {}, {}).run();
  EXPECT_EQ(outcome.reason, "TaskRunImagePullFailed");
  EXPECT_TRUE(outcome.infrastructure);
  EXPECT_EQ(outcome.message,
            "the image \"broken\" of step four cannot be had: the registry is down (start it)");
  EXPECT_EQ(asked["test"], 1);
}

}  // namespace
}  // namespace kiln::steps
