#include "base/process.h"

#include <cstdlib>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <thread>

#include "base/error.h"
#include "base/fs.h"
#include "base/pipe.h"
#include "base/spawn.h"
#include "tests/unit/base/command.h"

namespace kiln {
namespace {

using testing::HasSubstr;

TEST(ProcessTest, CapturesBothStreamsAndTheExitCode) {
  const Finished finished = run(command({"sh", "-c", "echo out; echo err >&2; exit 7"}));
  EXPECT_EQ(finished.exit_code, 7);
  EXPECT_EQ(finished.output, "out\n");
  EXPECT_EQ(finished.errors, "err\n");
}

TEST(ProcessTest, FeedsInputLargerThanAPipeWhileReadingOutput) {
  Command cat = command({"cat"});
  cat.input = std::string(3 << 20, 'x');
  EXPECT_EQ(run(cat).output.size(), cat.input.size());
}

TEST(ProcessTest, GivesExactlyTheEnvironmentAndFolderAskedFor) {
  const TempDir dir;
  Command env = command({"/bin/sh", "-c", "echo \"$A $HOME\"; pwd"});
  env.environment = Environment{{"A", "1"}};
  env.directory = dir.path();
  EXPECT_EQ(run(env).output, "1 \n" + dir.path().string() + "\n");
}

TEST(ProcessTest, AMissingProgramSaysWhatToInstall) {
  try {
    run(command({"kiln-no-such-program"}));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Infrastructure);
    EXPECT_THAT(error.hint(), HasSubstr("kiln-no-such-program"));
  }
}

TEST(ProcessTest, AStopRequestEndsTheChildAndItsChildren) {
  std::stop_source stop;
  std::string output;
  EXPECT_THROW(run(
                   command({"sh", "-c", "sleep 600 & echo started; wait"}),
                   [&](std::string_view bytes) {
                     output += bytes;
                     stop.request_stop();
                   },
                   stop.get_token()),
               Error);
  EXPECT_EQ(output, "started\n");
}

TEST(ProcessTest, AKilledChildHas128PlusItsSignal) {
  EXPECT_EQ(run(command({"sh", "-c", "kill -TERM $$"})).exit_code, 128 + SIGTERM);
}

TEST(ProcessTest, AStopIsNotHeldUpByWhoLeftTheGroupWithTheOutput) {
  if (!find_program("setsid")) GTEST_SKIP() << "setsid of util-linux is not installed";
  std::stop_source stop;
  std::string output;
  EXPECT_THROW(run(
                   command({"sh", "-c", "setsid sh -c 'echo $$; exec sleep 600' & wait"}),
                   [&](std::string_view bytes) {
                     output += bytes;
                     stop.request_stop();
                   },
                   stop.get_token()),
               Error);
  const pid_t gone_away = static_cast<pid_t>(std::strtol(output.c_str(), nullptr, 10));
  ASSERT_GT(gone_away, 1) << output;
  EXPECT_EQ(::kill(gone_away, SIGKILL), 0);
}

TEST(ProcessTest, AStopReachesWhoHasClosedItsOutput) {
  const TempDir dir;
  const fs::path fifo = dir.path() / "closed";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  std::stop_source stop;
  std::jthread watcher([&] {
    read_file(fifo);
    stop.request_stop();
  });
  EXPECT_THROW(run(command({"sh", "-c", "exec >&- 2>&-; : > " + fifo.string() + "; exec sleep 600"}), {},
                   stop.get_token()),
               Error);
}

TEST(ProcessTest, OfTheErrorsTheLast64KiBAreKept) {
  const Finished finished =
      run(command({"sh", "-c", "printf a >&2; head -c 100000 /dev/zero >&2; printf z >&2"}));
  EXPECT_EQ(finished.errors.size(), 64u << 10);
  EXPECT_EQ(finished.errors.back(), 'z');
}

TEST(ProcessTest, AProgramGetsNoDescriptorThatIsNotMeantForIt) {
  const UniqueFd careless(::open("/dev/null", O_RDONLY));
  EXPECT_EQ(run(command({"sh", "-c", "echo $(ls /proc/self/fd)"})).output, "0 1 2 3\n")
      << "3: ls, reading that";
}

TEST(ProcessTest, SpawnedProgramsFindTheirDescriptorsInOrder) {
  Pipe pipe;
  const TempDir dir;
  write_file(dir.path() / "f", "content");
  const UniqueFd file = open_file(dir.path() / "f", O_RDONLY);
  const int fds[] = {-1, pipe.write.get(), 2, file.get()};
  const pid_t pid = spawn(command({"sh", "-c", "cat <&3; cat; set -- $(cat /proc/$$/stat); test $6 = $$"}),
                          fds, Apart::Session);
  pipe.write.reset();
  EXPECT_EQ(read_all(pipe.read.get(), 100, "pipe"), "content");
  int status = -1;
  EXPECT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_EQ(status, 0) << "it leads its session";
}

}  // namespace
}  // namespace kiln
