#include <fcntl.h>
#include <gmock/gmock.h>

#include "base/text.h"
#include "steps/sidecar_breakdown.h"
#include "tests/unit/steps/pod_world.h"

namespace kiln::steps {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

class SidecarTest : public PodTest {
 protected:
  void SetUp() override {
    PodTest::SetUp();
    make_dirs(shared);
    ::chmod(shared.c_str(), 0777);
    pod.workspaces = {{shared, "/shared", false}};
  }
  SidecarSpec& sidecar(std::string name, std::string text) {
    SidecarSpec made;
    static_cast<StepSpec&>(made) = script(std::move(name), std::move(text));
    return pod.sidecars.emplace_back(std::move(made));
  }
  static Probe exec(std::string text) {
    return {.command = {"sh", "-c", std::move(text)}, .period = 5ms, .timeout = 10s};
  }
  // Answers each connection to a port that it writes down with `answer`.
  static std::string server(const std::string& answer) {
    return "#!/usr/bin/perl\nuse IO::Socket::INET; $SIG{PIPE} = 'IGNORE'; my $s = "
           "IO::Socket::INET->new(Listen => 5, LocalAddr => "
           "'127.0.0.1', LocalPort => " +
           std::to_string(kPort) +
           ", ReuseAddr => 1) or die $!;\nwhile (my $c = $s->accept) { while (<$c>) { last if /^\\s*$/; } "
           "print $c \"" +
           answer + "\"; close $c; }\n";
  }
  static constexpr uint16_t kPort = 48123;
  const fs::path shared = world.folder() / "shared";
  const std::string nap = "sleep " + seconds_of(::getpid());
};

TEST_F(SidecarTest, RunsBesideTheStepsAndIsEndedAfterTheLast) {
  sidecar("s",
          "mkfifo /shared/in /shared/out; touch /shared/made; read x < /shared/in; echo got $x; "
          "echo answer > /shared/out; " +
              nap)
      .readiness = exec("test -e /shared/made");
  pod.steps = {script("one", "echo question > /shared/in; cat /shared/out")};
  const PodOutcome outcome = run();
  EXPECT_TRUE(outcome.succeeded) << outcome.message << recorder.output;
  EXPECT_EQ(recorder.output, "answer\n");
  EXPECT_THAT(recorder.sidecar_output_of(0), testing::EndsWith("got question\n"));
  ASSERT_EQ(outcome.sidecars.size(), 1u);
  EXPECT_EQ(outcome.sidecars[0].reason, StepReason::Completed);
  EXPECT_EQ(outcome.sidecars[0].message, "ended after the last step");
  EXPECT_EQ(outcome.sidecars[0].image_digest, "sha256:test");
  EXPECT_THAT(processes_with(nap), testing::IsEmpty());
}

TEST_F(SidecarTest, StepsWaitForStartupAndThenReadiness) {
  SidecarSpec& one = sidecar("s", nap);
  one.startup = exec("echo startup >> /shared/order; test $(wc -l < /shared/order) -ge 3");
  one.startup->failure_threshold = 1000;
  one.readiness = exec("echo ready >> /shared/order");
  pod.steps = {script("one", "cat /shared/order")};
  EXPECT_TRUE(run().succeeded);
  EXPECT_EQ(recorder.output, "startup\nstartup\nstartup\nready\n");
}

TEST_F(SidecarTest, OneThatDiesEarlyFailsThePodWhenNoOtherRunsAtTheEnd) {
  sidecar("s", "echo dying; exit 3").readiness = exec("false");
  pod.steps = {script("one", "echo ran")};
  const PodOutcome outcome = run();
  EXPECT_FALSE(outcome.succeeded);
  EXPECT_EQ(outcome.reason, "SidecarFailed");
  EXPECT_EQ(outcome.message, "\"sidecar-s\" exited with code 3: Error");
  EXPECT_EQ(outcome.steps[0].reason, StepReason::Completed);
  EXPECT_EQ(recorder.output, "ran\n");
  EXPECT_EQ(outcome.sidecars[0].exit_code, 3);
  EXPECT_EQ(outcome.sidecars[0].reason, StepReason::Error);
}

TEST_F(SidecarTest, OneThatDiesEarlyBesideAnotherIsNoMatterUntilAStepFails) {
  for (const bool good : {true, false}) {
    pod.sidecars.clear();
    sidecar("dies", "exit 3").readiness = exec("false");
    sidecar("lives", "sleep 41001");
    pod.steps = {script("one", good ? "true" : "exit 4")};
    const PodOutcome outcome = run();
    EXPECT_EQ(outcome.reason, good ? "Succeeded" : "SidecarFailed");
    EXPECT_EQ(outcome.sidecars[1].message, "ended after the last step");
  }
}

TEST(SidecarBreakdown, GoesByTektonsOrder) {
  const auto reason = [](const char* of_steps, StepReason how, bool steps_failed, bool all_ended) {
    PodOutcome outcome;
    outcome.reason = of_steps;
    outcome.sidecars.push_back(
        {.name = "db", .exit_code = how == StepReason::Completed ? 143 : 137, .reason = how});
    const auto breakdown = sidecar_breakdown(outcome, steps_failed, all_ended);
    return breakdown ? breakdown->reason : "none";
  };
  EXPECT_EQ(reason("StepOOM", StepReason::OutOfMemory, true, false), "SidecarOOM");
  EXPECT_EQ(reason("StepOOM", StepReason::Error, true, false), "none") << "a step's memory comes first";
  EXPECT_EQ(reason("StepFailed", StepReason::Error, true, false), "SidecarFailed");
  EXPECT_EQ(reason("StepFailed", StepReason::Completed, true, true), "none") << "Kiln ended it";
  EXPECT_EQ(reason("", StepReason::Error, false, false), "none");
  EXPECT_EQ(reason("", StepReason::OutOfMemory, false, true), "SidecarOOM");
  EXPECT_EQ(reason("TaskRunTimeout", StepReason::Error, true, true), "none");
}

TEST_F(SidecarTest, OneThatCannotStartFailsItAtOnceByName) {
  sidecar("s", "").command = {"no-such-program"};
  pod.steps = {script("one", "echo never")};
  const PodOutcome outcome = run();
  EXPECT_FALSE(outcome.succeeded);
  EXPECT_EQ(outcome.reason, "CreateContainerConfigError");
  EXPECT_THAT(outcome.message,
              HasSubstr("sidecar s could not be started: not found in PATH: no-such-program"));
  EXPECT_EQ(recorder.output, "");
  EXPECT_EQ(outcome.steps[0].reason, StepReason::NotStarted);
}

TEST_F(SidecarTest, AFailedStartupOrLivenessProbeKillsIt) {
  for (const bool startup : {true, false}) {
    pod.sidecars.clear();
    fs::remove(shared / "go");
    SidecarSpec& one = sidecar("s", nap);
    (startup ? one.startup : one.liveness) = exec("exit 7");
    pod.steps = {script("one", startup ? "true" : "while [ ! -e /shared/go ]; do sleep 0.01; done")};
    recorder.on_sidecar_output = [&](std::string_view bytes) {
      if (bytes.find("it is killed") != std::string_view::npos) write_file(shared / "go", "");
    };
    const PodOutcome outcome = run();
    if (startup) {  // whether the other has ended before the step is luck
      EXPECT_EQ(outcome.reason, "SidecarFailed");
    }
    EXPECT_EQ(outcome.sidecars[0].message,
              std::string("killed: its ") + (startup ? "startup" : "liveness") + " probe failed 3 times");
    EXPECT_THAT(recorder.sidecar_output_of(0), HasSubstr("probe: sh -c exit 7 exited with code 7"));
  }
}

TEST_F(SidecarTest, AProbeThatHangsIsKilledAndCountsAsFailed) {
  sidecar("s", nap).startup =
      Probe{.command = {"sh", "-c", nap}, .period = 1ms, .timeout = 5ms, .failure_threshold = 2};
  pod.steps = {script("one", "true")};
  const PodOutcome outcome = run();
  EXPECT_EQ(outcome.reason, "SidecarFailed");
  EXPECT_EQ(outcome.sidecars[0].message, "killed: its startup probe failed 2 times");
  EXPECT_THAT(processes_with(nap), testing::IsEmpty());
}

TEST_F(SidecarTest, OneThatIgnoresTheSignalAndHasChildrenLeavesNothing) {
  sidecar("s", "trap '' TERM; " + nap + " & touch /shared/up; wait; " + nap).readiness =
      exec("test -e /shared/up");
  pod.steps = {script("one", "exit 5")};
  pod.grace = 20ms;
  const PodOutcome outcome = run();
  EXPECT_EQ(outcome.message, "\"step-one\" exited with code 5: Error");
  EXPECT_EQ(outcome.sidecars[0].exit_code, 137);
  EXPECT_THAT(processes_with(nap), testing::IsEmpty());
}

TEST_F(SidecarTest, CancellingEndsTheWaitForOneThatIsNeverReady) {
  sidecar("s", nap).readiness = exec("echo asked; false");
  pod.steps = {script("one", "echo never")};
  std::stop_source stop;
  recorder.on_sidecar_output = [&](std::string_view) { stop.request_stop(); };
  const PodOutcome outcome = run(stop.get_token());
  EXPECT_EQ(outcome.reason, "TaskRunCancelled");
  EXPECT_EQ(recorder.output, "");
  EXPECT_EQ(outcome.sidecars.size(), 1u);
}

TEST_F(SidecarTest, ThePodsTimeEndsThatWaitToo) {
  sidecar("s", nap).readiness = exec("false");
  pod.steps = {script("one", "echo never")};
  EXPECT_EQ(run({}, 50ms).reason, "TaskRunTimeout");
}

TEST_F(SidecarTest, SharesLocalhostOnAPrivateNetworkAndIsAskedThere) {
  if (!fs::exists("/usr/bin/perl")) GTEST_SKIP() << "needs perl";
  pod.network = Network::Private;
  SidecarSpec& one = sidecar("s", server("HTTP/1.1 204 No Content\\r\\n\\r\\n"));
  one.run_as_user = 1000;  // although the step is root: one network, users of their own
  one.startup = Probe{.kind = Probe::Kind::TcpSocket,
                      .port = kPort,
                      .period = 5ms,
                      .timeout = 10s,
                      .failure_threshold = 10000};
  one.readiness =
      Probe{.kind = Probe::Kind::HttpGet, .port = kPort, .path = "/ready", .period = 5ms, .timeout = 10s};
  pod.steps = {
      script("one",
             "#!/usr/bin/perl\nuse IO::Socket::INET; my $s = "
             "IO::Socket::INET->new('127.0.0.1:48123') or die $!; print $s \"x\\n\\n\"; print <$s>;")};
  const PodOutcome outcome = run();
  EXPECT_TRUE(outcome.succeeded) << outcome.message << recorder.output;
  EXPECT_THAT(recorder.output, HasSubstr("204 No Content"));
}

TEST_F(SidecarTest, StaysOnThePodsNetworkWhenTheStepsAreHermetic) {
  pod.hermetic = true;
  sidecar("s", "readlink /proc/self/ns/net > /shared/net; " + nap).readiness = exec("test -s /shared/net");
  pod.steps = {script("one",
                      "tail -n +3 /proc/net/dev | cut -d: -f1; readlink /proc/self/ns/net > /shared/own; "
                      "cat /shared/net")};
  const PodOutcome outcome = run();
  EXPECT_TRUE(outcome.succeeded) << outcome.message << recorder.output;
  const std::string host = fs::read_symlink("/proc/self/ns/net").string() + "\n";
  EXPECT_EQ(read_file(shared / "net"), host);
  EXPECT_NE(read_file(shared / "own"), host);
  EXPECT_EQ(replace_all(recorder.output, " ", ""), "lo\n" + host);
}

TEST_F(SidecarTest, AnHttpProbeTakesTwoAndThreeHundredsOnly) {
  if (!fs::exists("/usr/bin/perl")) GTEST_SKIP() << "needs perl";
  pod.network = Network::Private;  // the port is nobody else's
  for (const auto& [answer, good] : std::map<std::string, bool>{{"HTTP/1.1 399 x\\r\\n", true},
                                                                {"HTTP/1.0 200 x\\r\\n", true},
                                                                {"HTTP/1.1 404 x\\r\\n", false},
                                                                {"HTTP/1.1 199 x\\r\\n", false},
                                                                {"SSH-2.0-OpenSSH 200", false}}) {
    pod.sidecars.clear();
    SidecarSpec& one = sidecar("s", server(answer));
    one.startup = Probe{.kind = Probe::Kind::TcpSocket,
                        .port = kPort,
                        .period = 5ms,
                        .timeout = 10s,
                        .failure_threshold = 10000};
    one.liveness = Probe{
        .kind = Probe::Kind::HttpGet, .port = kPort, .period = 1ms, .timeout = 10s, .failure_threshold = 1};
    if (good) one.readiness = one.liveness;
    pod.steps = {script("one", good ? "true" : "while [ ! -e /shared/go ]; do sleep 0.01; done")};
    fs::remove(shared / "go");
    recorder.on_sidecar_output = [&](std::string_view bytes) {
      if (bytes.find("it is killed") != std::string_view::npos) write_file(shared / "go", "");
    };
    const PodOutcome outcome = run();
    EXPECT_EQ(outcome.sidecars[0].reason, good ? StepReason::Completed : StepReason::Error)
        << answer << outcome.sidecars[0].message << recorder.sidecar_output_of(0);
  }
}

TEST_F(SidecarTest, AFailedProbeGivesItItsOwnGrace) {
  for (const auto& [grace, said] :
       std::map<Duration, std::string>{{1ms, "asleep\n"}, {1min, "asleep\nbye\n"}}) {
    pod.sidecars.clear();
    recorder.sidecars.clear();
    // What it still has to do needs a word from outside, that comes only where there is time for it.
    const fs::path word = shared / "word";
    fs::remove(word);
    fs::remove(shared / "up");
    ASSERT_EQ(::mkfifo(word.c_str(), 0600), 0);
    ASSERT_EQ(::chmod(word.c_str(), 0666), 0);
    const UniqueFd fifo = open_file(word, O_RDWR);
    if (grace > 1s) write_all(fifo.get(), "go\n");
    SidecarSpec& one =
        sidecar("s",
                "trap 'read x < /shared/word; echo bye; exit 0' TERM; echo asleep; touch /shared/up; "
                "while true; do sleep 0.01; done");
    one.startup = exec("until [ -e /shared/up ]; do sleep 0.01; done; exit 7");
    one.startup->grace = grace;
    pod.steps = {script("one", "true")};
    const PodOutcome outcome = run();
    EXPECT_EQ(outcome.sidecars[0].message, "killed: its startup probe failed 3 times");
    EXPECT_EQ(recorder.sidecar_output_of(0).find("bye") != std::string::npos, grace > 1s);
  }
}

TEST_F(SidecarTest, SeesNothingOfTektonsFoldersAndRunsAsItsOwnUser) {
  SidecarSpec& one =
      sidecar("s", "id -u; ls /tekton; ls -d /workspace 2>&1 || true; touch /shared/done; " + nap);
  one.run_as_user = 1000;
  one.env = {{"A", "b"}};
  one.readiness = exec("test \"$A\" = b && test -e /shared/done && test $(id -u) = 1000");
  pod.steps = {script("one", "true")};
  EXPECT_TRUE(run().succeeded);
  // What probes say may stand between the lines.
  EXPECT_THAT(recorder.sidecar_output_of(0),
              testing::AllOf(HasSubstr("1000\n"), HasSubstr("scripts\n"),
                             HasSubstr("cannot access '/workspace'"), testing::Not(HasSubstr("results"))));
}

TEST_F(SidecarTest, AnImageThatCannotBeHadNamesTheSidecar) {
  sidecar("s", "true").image = "other";
  pod.steps = {script("one", "echo never")};
  const PodOutcome outcome = run();
  EXPECT_EQ(outcome.reason, "TaskRunImagePullFailed");
  EXPECT_EQ(outcome.message,
            "the image \"other\" of sidecar s cannot be had: the registry is down (start it)");
  EXPECT_TRUE(outcome.sidecars.empty());
}

}  // namespace
}  // namespace kiln::steps
