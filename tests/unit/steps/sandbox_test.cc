#include "steps/sandbox.h"

#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <thread>

#include "base/error.h"
#include "base/fs.h"
#include "base/pipe.h"
#include "steps/user_namespace.h"
#include "tests/unit/steps/world.h"

namespace kiln::steps {
namespace {

class SandboxTest : public testing::Test {
 protected:
  void SetUp() override { KILN_NEEDS_SANDBOX(); }
  World world;
};

TEST_F(SandboxTest, ExitCodesOutputAndTimeComeBack) {
  const auto ran = world.run("echo out; echo err >&2; exit 7");
  EXPECT_EQ(ran.status.code, 7);
  EXPECT_TRUE(ran.status.started);
  EXPECT_EQ(ran.out, "out\n");
  EXPECT_EQ(ran.err, "err\n");
  EXPECT_GT(ran.status.run_time.count(), 0);
}

// A process that has written to both streams and goes on writing while it is read.
class WritingSandbox final : public Sandbox {
 public:
  explicit WritingSandbox(const Streams& streams) : out(::dup(streams.out)), err(::dup(streams.err)) {
    int ends[2];
    if (::pipe(ends) != 0) throw_errno("pipe");
    exit_.reset(ends[0]);  // its other end is closed: "ended"
    ::close(ends[1]);
  }
  ExitStatus wait() override { return {}; }
  int exit_fd() const override { return exit_.get(); }
  void signal(int) override {}
  void kill() override {}
  UniqueFd dial_socket() override { return {}; }
  std::optional<int> exec(const std::vector<std::string>&, std::chrono::nanoseconds) override { return {}; }

  UniqueFd out, err;

 private:
  UniqueFd exit_;
};

class WritingRuntime final : public SandboxRuntime {
 public:
  std::unique_ptr<Sandbox> start(const SandboxSpec&, const Streams& streams) override {
    auto made = std::make_unique<WritingSandbox>(streams);
    sandbox = made.get();
    return made;
  }
  WritingSandbox* sandbox = nullptr;
};

TEST(SandboxRunTest, WhatComesLaterStaysBehindWhatWasThere) {
  WritingRuntime runtime;
  SandboxRun run(runtime, {});
  write_all(runtime.sandbox->out.get(), "out 1\n", "pipe");
  write_all(runtime.sandbox->err.get(), "err 1\n", "pipe");
  std::string said;
  run.to_end([&](bool, std::string_view bytes) {
    said += bytes;
    if (bytes == "out 1\n") {
      write_all(runtime.sandbox->out.get(), "out 2\n", "pipe");
      write_all(runtime.sandbox->err.get(), "err 2\n", "pipe");
      runtime.sandbox->out.reset();
      runtime.sandbox->err.reset();
    }
  });
  EXPECT_EQ(said, "out 1\nerr 1\nout 2\nerr 2\n");
}

TEST_F(SandboxTest, DeathBySignalIs128PlusItsNumber) {
  EXPECT_EQ(world.run("kill -TERM $$").status.code, 128 + SIGTERM);
  EXPECT_EQ(world.run("kill -KILL $$").status.code, 128 + SIGKILL);
}

TEST_F(SandboxTest, SignalsReachTheProcess) {
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  UniqueFd read_end(ready[0]), write_end(ready[1]);
  const auto sandbox =
      world.runtime().start(world.shell("trap 'exit 42' TERM; echo ready; while :; do sleep 0.01; done"),
                            {-1, write_end.get(), -1});
  write_end.reset();
  char c;
  ASSERT_EQ(::read(read_end.get(), &c, 1), 1);  // the trap is set
  sandbox->signal(SIGTERM);
  EXPECT_EQ(sandbox->wait().code, 42);
}

TEST_F(SandboxTest, ExitFdBecomesReadableAtTheEnd) {
  const auto sandbox = world.runtime().start(world.command({"true"}), {});
  pollfd ended{sandbox->exit_fd(), POLLIN, 0};
  EXPECT_EQ(::poll(&ended, 1, 30'000), 1);
  EXPECT_EQ(sandbox->wait().code, 0);
  EXPECT_EQ(sandbox->wait().code, 0);  // and again
}

TEST_F(SandboxTest, ManyThreadsMayWait) {
  const auto sandbox = world.runtime().start(world.shell("read x; exit 3"), {});
  std::vector<std::jthread> threads;
  std::atomic<int> sum = 0;
  for (int i = 0; i < 4; ++i) threads.emplace_back([&] { sum += sandbox->wait().code; });
  threads.clear();
  EXPECT_EQ(sum, 12);  // stdin is /dev/null: read fails at once, exit 3
}

TEST_F(SandboxTest, KillEndsEverythingInside) {
  Pipe out;
  const auto sandbox = world.runtime().start(world.shell("setsid sleep 4711 & echo up; exec sleep 4711"),
                                             {-1, out.write.get(), -1});
  out.write.reset();
  char said[3];
  ASSERT_EQ(::read(out.read.get(), said, sizeof said), 3);
  sandbox->kill();
  EXPECT_EQ(sandbox->wait().code, 137);
  EXPECT_EQ(::read(out.read.get(), said, sizeof said), 0) << "who still has it open?";
}

TEST_F(SandboxTest, BackgroundProcessesEndWithTheStep) {
  // A process left behind would hold the pipe, and run() would never return.
  EXPECT_EQ(world.run("sleep 4712 & exit 0").status.code, 0);
}

TEST_F(SandboxTest, NothingIsInherited) {
  ::setenv("KILN_TEST_SECRET", "1", 1);
  SandboxSpec spec = world.command({"env"});
  spec.env = {"PATH=/usr/bin", "A=b"};
  EXPECT_EQ(world.run(spec).out, "PATH=/usr/bin\nA=b\n");
  EXPECT_EQ(world.run("ls /proc/self/fd | tr '\\n' ' '").out, "0 1 2 3 ");  // 3: ls reading the folder
  EXPECT_EQ(world.run("grep -E 'SigBlk|SigIgn' /proc/self/status").out,
            "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

TEST_F(SandboxTest, HasItsOwnProcessesHostNameAndTerminalSession) {
  SandboxSpec spec = world.shell("cat /proc/1/comm; hostname; set -- /proc/[0-9]*; echo $#");
  spec.hostname = "here";
  EXPECT_EQ(world.run(spec).out, "kiln-sandbox\nhere\n2\n");  // PID 1, sh
}

TEST_F(SandboxTest, TheCommandIsLookedUpInTheSandboxsPath) {
  SandboxSpec spec = world.command({"greet"});
  write_file(world.rootfs() / "greet", "#!/bin/sh\necho hello $1\n", 0755);
  spec.env = {"PATH=/nowhere:/"};
  EXPECT_EQ(world.run(spec).out, "hello\n");
}

struct ExecFailure {
  const char* name;
  std::vector<std::string> args;
  int code;
  const char* message;
};

TEST_F(SandboxTest, ACommandThatCannotRunSaysWhy) {
  write_file(world.rootfs() / "plain", "no program", 0644);
  write_file(world.rootfs() / "lost", "#!/no/such/shell\n", 0755);
  write_file(world.rootfs() / "garbage", "\x01\x02\x03\x04 not an executable", 0755);
  const ExecFailure cases[] = {
      {"missing", {"no-such-program"}, 127, "not found in PATH: no-such-program"},
      {"missing path", {"/no/such/program"}, 127, "No such file or directory"},
      {"not executable", {"/plain"}, 126, "Permission denied"},
      {"folder", {"/etc"}, 126, "Permission denied"},
      {"interpreter", {"/lost"}, 127, "the interpreter or dynamic loader is missing of /lost"},
      {"format", {"/garbage"}, 126, "Exec format error"},
      {"empty", {}, 127, "there is no command to run"},
  };
  for (const ExecFailure& c : cases) {
    const auto ran = world.run(world.command(c.args));
    EXPECT_FALSE(ran.status.started) << c.name;
    EXPECT_EQ(ran.status.code, c.code) << c.name;
    EXPECT_NE(ran.status.message.find(c.message), std::string::npos) << c.name << ": " << ran.status.message;
  }
}

TEST_F(SandboxTest, WorkingDirectoryIsMadeAndOwned) {
  SandboxSpec spec = world.shell("pwd; stat -c %u:%g .; touch here");
  spec.cwd = "/deep/down";
  spec.uid = spec.gid = 1234;
  const auto ran = world.run(spec);
  EXPECT_EQ(ran.out, "/deep/down\n1234:1234\n") << ran.err;
  EXPECT_EQ(ran.status.code, 0);
  spec.make_cwd = false;
  EXPECT_NE(world.run(spec).status.message.find("cannot enter the working directory /deep/down"),
            std::string::npos);
}

TEST_F(SandboxTest, AWorkingDirectoryNeedNotBeTheUsersOwn) {
  KILN_NEEDS_ROOT();
  make_dirs(world.rootfs() / "root", 0700);
  SandboxSpec spec = world.shell("umask; echo x > /tmp/x && stat -c %a /tmp/x; ls /.. | sort | head -n 1");
  ::chmod((world.rootfs() / "tmp").c_str(), 01777);
  spec.cwd = "/root";
  spec.uid = spec.gid = 1234;
  EXPECT_EQ(world.run(spec).out, "0022\n644\nbin\n");
}

TEST_F(SandboxTest, PrivateNetworkIsEmptyButCanBeDialled) {
  SandboxSpec spec = world.command(
      {"perl", "-MIO::Socket::INET", "-e",
       "$|=1; $s=IO::Socket::INET->new(Listen=>5,LocalAddr=>'127.0.0.1:8080') or die $!; print \"ready\\n\"; "
       "$c=$s->accept; print $c \"hello\\n\"; close $c;"});
  if (!fs::exists("/usr/bin/perl")) GTEST_SKIP() << "needs perl";
  spec.network = Network::Private;
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  UniqueFd read_end(ready[0]), write_end(ready[1]);
  const auto sandbox = world.runtime().start(spec, {-1, write_end.get(), 2});
  write_end.reset();
  char buffer[64];
  ASSERT_GT(::read(read_end.get(), buffer, sizeof buffer), 0);

  const UniqueFd socket = sandbox->dial_socket();
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(8080);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
  pollfd answer{socket.get(), POLLIN, 0};
  ASSERT_EQ(::poll(&answer, 1, 30'000), 1);
  const ssize_t n = ::recv(socket.get(), buffer, sizeof buffer, 0);
  EXPECT_EQ(std::string(buffer, static_cast<size_t>(std::max<ssize_t>(n, 0))), "hello\n");
  EXPECT_EQ(sandbox->wait().code, 0);
  EXPECT_THROW(
      {
        for (;;) sandbox->dial_socket();  // until PID 1 is gone
      },
      Error);
}

TEST_F(SandboxTest, WithoutNetworkThereIsOnlyLoopback) {
  SandboxSpec spec = world.shell("tail -n +3 /proc/net/dev | cut -d: -f1");
  spec.network = Network::None;
  EXPECT_EQ(world.run(spec).out, "    lo\n");
}

TEST_F(SandboxTest, AStopRequestTerminatesAndThenKills) {
  std::stop_source stop;
  const auto result = run_to_end(
      world.runtime(), world.shell("trap '' TERM; echo ready; while :; do sleep 0.01; done"),
      [&](bool, std::string_view) { stop.request_stop(); }, stop.get_token(), {},
      std::chrono::milliseconds(50));
  EXPECT_TRUE(result.cancelled);
  EXPECT_FALSE(result.timed_out);
  EXPECT_EQ(result.status.code, 137);
}

TEST_F(SandboxTest, AKillRequestEndsTheGraceAtOnce) {
  std::stop_source stop, kill;
  const auto result = run_to_end(
      world.runtime(), world.shell("trap 'echo asked' TERM; echo ready; while :; do sleep 0.01; done"),
      [&](bool, std::string_view said) { (said == "asked\n" ? kill : stop).request_stop(); },
      stop.get_token(), {}, std::chrono::hours(1), kill.get_token());
  EXPECT_TRUE(result.cancelled);
  EXPECT_EQ(result.status.code, 137);
}

TEST_F(SandboxTest, ATimeoutEndsIt) {
  const auto result =
      run_to_end(world.runtime(), world.command({"sleep", "1000"}), {}, {}, std::chrono::milliseconds(30));
  EXPECT_TRUE(result.timed_out);
  EXPECT_EQ(result.status.code, 128 + SIGTERM);
}

TEST_F(SandboxTest, TwoHundredAtOnce) {
  std::atomic<int> right = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 200; ++i)
      threads.emplace_back([&, i] {
        SandboxSpec spec = world.shell("echo $N; exit " + std::to_string(i % 100));
        spec.env.push_back("N=" + std::to_string(i));
        std::string out;
        const RunResult result =
            run_to_end(world.runtime(), spec, [&](bool, std::string_view bytes) { out += bytes; });
        right += result.status.code == i % 100 && out == std::to_string(i) + "\n";
      });
  }
  EXPECT_EQ(right, 200);
}

TEST_F(SandboxTest, ANulByteIsRefused) {
  EXPECT_THROW(world.run(world.command({std::string("a\0b", 3)})), Error);
}

TEST(RuntimeTest, UnknownNamesAreUsageErrors) {
  const TempDir folder;
  try {
    make_runtime("docker", folder.path());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Usage);
    EXPECT_NE(error.hint().find("native"), std::string::npos);
  }
}

}  // namespace
}  // namespace kiln::steps
