// A sandbox ends with kiln, however kiln ends; and the suite again as somebody who is not root.
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/process.h"
#include "base/text.h"
#include "steps/sandbox.h"
#include "tests/unit/steps/world.h"

namespace kiln::steps {
namespace {

// Started again by LifelineTest, as the kiln to be killed: makes a sandbox that writes to stdout for ever.
TEST(LifelineVictim, DISABLED_Run) {
  World world;
  const std::string seconds = seconds_of(::getppid());
  SandboxSpec spec =
      world.shell("(setsid sleep " + seconds + " &) ; echo step of $PPID; exec sleep " + seconds);
  spec.resources.pids = 20;  // with a cgroup, where that is possible
  const auto sandbox = world.runtime().start(spec, {-1, 1, -1});
  std::puts((world.folder() / "").c_str());
  std::fflush(stdout);
  sandbox->wait();
}

TEST(LifelineTest, NothingSurvivesTheDeathOfKiln) {
  KILN_NEEDS_SANDBOX();
  const TempDir folder;  // for what the victim cannot clean up
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  UniqueFd read_end(pipe[0]), write_end(pipe[1]);
  const pid_t victim = ::fork();
  if (victim == 0) {
    ::dup2(write_end.get(), 1);
    ::setenv("TMPDIR", folder.path().c_str(), 1);
    ::execl("/proc/self/exe", "victim", "--gtest_also_run_disabled_tests", "--gtest_filter=LifelineVictim.*",
            static_cast<char*>(nullptr));
    ::_exit(1);
  }
  // The step's processes hold this pipe too: it ends with the last of them.
  write_end.reset();
  std::string output;
  char buffer[4096];
  while (output.find("step of 1\n") == std::string::npos) {
    const ssize_t n = ::read(read_end.get(), buffer, sizeof buffer);
    ASSERT_GT(n, 0) << output;
    output.append(buffer, static_cast<size_t>(n));
  }
  const std::string seconds = seconds_of(::getpid());
  EXPECT_FALSE(processes_with(seconds).empty());
  ::kill(victim, SIGKILL);
  ::waitpid(victim, nullptr, 0);
  pollfd ended{read_end.get(), 0, 0};
  ASSERT_EQ(::poll(&ended, 1, 30'000), 1) << "some process of the step lives on";
  while (::read(read_end.get(), buffer, sizeof buffer) > 0) {
  }
  EXPECT_TRUE(processes_with(seconds).empty());
}

TEST(LifelineTest, NothingIsLeftAfterwards) {
  KILN_NEEDS_SANDBOX();
  World world;
  const std::string seconds = seconds_of(::getpid());
  for (int i = 0; i < 20; ++i) world.run("sleep " + seconds + " & exit 0");
  // Those of others come and go meanwhile.
  EXPECT_EQ(read_file("/proc/self/mountinfo").find(world.folder().native()), std::string::npos);
  EXPECT_TRUE(processes_with(seconds).empty());
  EXPECT_TRUE(fs::is_empty(world.folder() / "run/mnt"));
  siginfo_t info{};
  EXPECT_EQ(::waitid(P_ALL, 0, &info, WEXITED | WNOHANG), -1) << "a child of ours is left: " << info.si_pid;
}

TEST(UserNamespaceTest, AKernelThatRefusesThemIsNamed) {
  if (!find_program("unshare")) GTEST_SKIP() << "needs unshare";
  const Finished possible = kiln::run({{"unshare", "-Ur", "true"}});
  if (!possible.ok()) GTEST_SKIP() << "no user namespaces here at all: " << possible.errors;
  const Finished finished = kiln::run(
      {{"unshare", "-Ur", "sh", "-c",
        "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$0\" --gtest_also_run_disabled_tests "
        "--gtest_filter=SandboxProblem.DISABLED_Print",
        fs::read_symlink("/proc/self/exe").native()}});
  EXPECT_NE(finished.output.find("this kernel does not let ordinary users make user namespaces"),
            std::string::npos)
      << finished.output << finished.errors;
  EXPECT_NE(finished.output.find("sysctl -w user.max_user_namespaces="), std::string::npos)
      << finished.output;
}

TEST(SandboxProblem, DISABLED_Print) {
  std::puts(sandbox_problem().c_str());
}

// The same promises for an ordinary user, and for root of a user namespace (as in a trusted step of a
// rootless kiln).
TEST(RootlessTest, EverythingHoldsForAnOrdinaryUser) {
  KILN_NEEDS_ROOT();
  const std::string self = fs::read_symlink("/proc/self/exe").native();
  const char* filter =
      "--gtest_filter=SandboxTest.*:RootTest.*:IsolationTest.*:AttackTest.*:Limits*:LifelineTest.*:PodTest.*:"
      "SidecarTest.*";
  const Finished probe =
      kiln::run({{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "test", "-x", self}});
  if (!probe.ok()) GTEST_SKIP() << "an ordinary user cannot execute " << self;
  const Finished finished =
      kiln::run({{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", self, filter}});
  EXPECT_TRUE(finished.ok()) << finished.output << finished.errors;
  EXPECT_EQ(finished.output.find("no sandboxes here"), std::string::npos) << "skipped, not passed:\n"
                                                                          << finished.output;
}

TEST(RootlessTest, EverythingHoldsInsideAUserNamespace) {
  KILN_NEEDS_ROOT();
  const std::string self = fs::read_symlink("/proc/self/exe").native();
  const Finished finished =
      kiln::run({{"unshare", "-Ur", self, "--gtest_filter=SandboxTest.*:RootTest.*:SidecarTest.*"}});
  EXPECT_TRUE(finished.ok()) << finished.output << finished.errors;
}

}  // namespace
}  // namespace kiln::steps
