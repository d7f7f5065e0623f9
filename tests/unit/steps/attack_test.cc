// A step that attacks: the machine, its sandbox, and other steps. All of it as root inside; the suite runs
// again without root (lifeline_test.cc).
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "base/text.h"
#include "steps/cgroup.h"
#include "tests/unit/steps/world.h"

namespace kiln::steps {
namespace {

class AttackTest : public testing::Test {
 protected:
  void SetUp() override { KILN_NEEDS_SANDBOX(); }
  World world;
};

TEST_F(AttackTest, NoSystemCallLeadsOut) {
  // Each with plausible arguments: what is refused must be so before they are looked at.
  const std::vector<std::pair<std::string, long>> calls{{"setns", SYS_setns},
                                                        {"unshare", SYS_unshare},
                                                        {"mount", SYS_mount},
                                                        {"umount2", SYS_umount2},
                                                        {"pivot_root", SYS_pivot_root},
                                                        {"open_tree", SYS_open_tree},
                                                        {"move_mount", SYS_move_mount},
                                                        {"fsopen", SYS_fsopen},
                                                        {"fsmount", SYS_fsmount},
                                                        {"mount_setattr", SYS_mount_setattr},
                                                        {"open_by_handle_at", SYS_open_by_handle_at},
                                                        {"add_key", SYS_add_key},
                                                        {"request_key", SYS_request_key},
                                                        {"keyctl", SYS_keyctl},
                                                        {"bpf", SYS_bpf},
                                                        {"perf_event_open", SYS_perf_event_open},
                                                        {"userfaultfd", SYS_userfaultfd},
                                                        {"io_uring_setup", SYS_io_uring_setup},
                                                        {"fanotify_init", SYS_fanotify_init},
                                                        {"kcmp", SYS_kcmp},
                                                        {"init_module", SYS_init_module},
                                                        {"finit_module", SYS_finit_module},
                                                        {"delete_module", SYS_delete_module},
                                                        {"kexec_load", SYS_kexec_load},
                                                        {"reboot", SYS_reboot},
                                                        {"swapon", SYS_swapon},
                                                        {"swapoff", SYS_swapoff},
                                                        {"quotactl", SYS_quotactl},
                                                        {"acct", SYS_acct},
                                                        {"sethostname", SYS_sethostname},
                                                        {"settimeofday", SYS_settimeofday},
                                                        {"clock_settime", SYS_clock_settime},
                                                        {"syslog", SYS_syslog},
                                                        {"iopl", SYS_iopl},
                                                        {"ioperm", SYS_ioperm},
                                                        {"vhangup", SYS_vhangup},
                                                        {"lookup_dcookie", SYS_lookup_dcookie},
                                                        {"move_pages", SYS_move_pages},
                                                        {"nfsservctl", SYS_nfsservctl}};
  std::string program;
  for (const auto& [name, number] : calls)
    program += "$! = 0; $r = syscall(" + std::to_string(number) + ", 0, 0, 0, 0, 0); print '" + name +
               " ', $r == -1 ? $!+0 : 'done', qq(\\n);";
  const auto ran = world.run(world.command({"perl", "-e", program}));
  std::string refused;
  for (const auto& [name, number] : calls) refused += name + " " + std::to_string(EPERM) + "\n";
  EXPECT_EQ(ran.out, refused) << ran.err;
}

#if defined(__x86_64__)
TEST_F(AttackTest, TheX32SystemCallTableIsNoWayAround) {
  const auto ran =
      world.run(world.command({"perl", "-e", "syscall(0x40000000 | 165, 0, 0, 0, 0, 0); print 'lives'"}));
  EXPECT_EQ(ran.out, "");
  EXPECT_EQ(ran.status.code, 128 + SIGSYS) << "mount by another name ends the process";
}
#endif

TEST_F(AttackTest, AChrootInsideAChrootStaysInside) {
  const auto ran = world.run(world.command(
      {"perl", "-e",
       "mkdir '/tmp/jail'; opendir(D, '/'); chroot('/tmp/jail') or print 'no chroot '; chdir(*D);"
       "chdir('..') for 1..64; chroot('.'); opendir(R, '/'); print join(' ', sort grep {!/^\\./} readdir R);"
       "open(O, '<', '/etc/origin') and print ' ', scalar <O>"}));
  EXPECT_NE(ran.out.find("image\n"), std::string::npos)
      << "above the sandbox's root there is nothing: " << ran.out;
}

TEST_F(AttackTest, AbstractSocketsOfTheMachineAreOutOfReach) {
  const struct { uint64_t handled_access_fs = 0, handled_access_net = 0, scoped = 1; } ruleset;
  const UniqueFd supported(
      static_cast<int>(::syscall(SYS_landlock_create_ruleset, &ruleset, sizeof ruleset, 0)));
  if (!supported) GTEST_SKIP() << "this kernel's Landlock does not know abstract sockets";
  const std::string name = "kiln-test-" + random_hex(8);
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  name.copy(address.sun_path + 1, name.size());
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  const UniqueFd server(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::bind(server.get(), reinterpret_cast<const sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(server.get(), 1), 0);
  const std::string connect =
      "use Socket; socket(my $s, AF_UNIX, SOCK_STREAM, 0); print connect($s, pack_sockaddr_un(qq(\\0) . '";
  const auto theirs = world.run(world.command({"perl", "-e", connect + name + "')) ? 'reached' : $!+0"}));
  EXPECT_EQ(theirs.out, std::to_string(EPERM)) << theirs.err;
  const auto own = world.run(world.command(
      {"perl", "-e",
       "use Socket; my $n = pack_sockaddr_un(qq(\\0own)); socket(my $l, AF_UNIX, SOCK_STREAM, 0); bind($l, "
       "$n); "
       "listen($l, 1); socket(my $s, AF_UNIX, SOCK_STREAM, 0); print connect($s, $n) ? 'reached' : $!+0"}));
  EXPECT_EQ(own.out, "reached") << own.err;
}

TEST_F(AttackTest, OtherStepsAreNotThere) {
  SandboxSpec victim = world.shell("echo $SECRET > /tmp/secret; exec sleep 1000");
  victim.id += "-victim";
  victim.env.push_back("SECRET=marigold-" + victim.id);
  const auto running = world.runtime().start(victim, {});
  const auto ran = world.run(
      "cat /tmp/secret /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null; ls -d /proc/[0-9]* | wc -l;"
      "kill -9 -1 2>/dev/null; echo alive");
  EXPECT_EQ(ran.out.find("marigold"), std::string::npos);
  pollfd ended{running->exit_fd(), POLLIN, 0};
  EXPECT_EQ(::poll(&ended, 1, 0), 0) << "the other step was killed";
  EXPECT_NE(ran.out.find("alive"), std::string::npos) << "and this one went on";
  running->kill();
  running->wait();
}

TEST_F(AttackTest, TheHostsProcessesCannotBeTracedByNumber) {
  const std::string host = std::to_string(::getpid());
  const auto ran = world.run(world.command({"perl", "-e",
                                            "$r = syscall(" + std::to_string(SYS_ptrace) + ", 16, " + host +
                                                ", 0, 0); print $r == -1 ? 'no ' : 'ATTACHED ';"
                                                "$r = syscall(" +
                                                std::to_string(SYS_pidfd_open) + ", " + host +
                                                ", 0); print $r == -1 ? 'no ' : 'OPENED ';"
                                                "print kill(0, " +
                                                host + ") ? 'SEEN' : 'no'"}));
  EXPECT_EQ(ran.out, "no no no");
}

TEST_F(AttackTest, PidOneOutlivesEverySignal) {
  const auto ran = world.run(
      "for s in 1 2 3 6 9 11 15 19 31; do kill -$s 1 2>/dev/null; done; (sleep 0; exit 3); echo $?; exit 7");
  EXPECT_EQ(ran.out, "3\n") << "what is PID 1 still reaps";
  EXPECT_EQ(ran.status.code, 7) << "and still reports";
}

TEST_F(AttackTest, KernelSettingsCannotBeWritten) {
  const auto ran = world.run(
      "for f in /proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe /proc/sys/vm/drop_caches "
      "/proc/sys/net/ipv4/ip_forward /proc/sysrq-trigger "
      "/proc/irq/default_smp_affinity "
      "/sys/kernel/uevent_helper /sys/power/state /sys/fs/cgroup/release_agent /proc/self/attr/current; do "
      "(echo 1 > $f) 2>/dev/null && echo WROTE $f; done;"
      "(echo -1000 > /proc/self/oom_score_adj) 2>/dev/null && echo UNKILLABLE; mount -o remount,rw /proc/sys "
      "2>/dev/null && echo "
      "REMOUNTED;"
      "umount /proc/kcore 2>/dev/null && echo UNMOUNTED; echo end");
  EXPECT_EQ(ran.out, "end\n");
}

TEST_F(AttackTest, ATerminalCannotBeTypedInto) {
  // TIOCSTI would put words into the shell that started kiln.
  const auto ran = world.run(
      world.command({"perl", "-e",
                     "open(T, '+<', '/dev/tty') and print 'HAS A TERMINAL '; $c = 'x'; print syscall(" +
                         std::to_string(SYS_ioctl) + ", 0, " + std::to_string(TIOCSTI) + ", $c)"}));
  EXPECT_EQ(ran.out, "-1");
}

TEST_F(AttackTest, FileDescriptorsOfKilnAreNotInherited) {
  const UniqueFd secret = open_file(world.folder() / "secret", O_RDWR | O_CREAT);
  ASSERT_EQ(::fcntl(secret.get(), F_SETFD, 0), 0);  // as a library might leave one
  EXPECT_EQ(world.run("ls /proc/self/fd | tr '\\n' ' '").out, "0 1 2 3 ") << "3 is ls reading the folder";
}

TEST_F(AttackTest, FillingTmpFillsNothingElse) {
  SandboxSpec spec = world.shell(
      "head -c 20000000 /dev/zero > /tmp/big 2>/dev/null; stat -c %s /tmp/big | awk '{print ($1 <= "
      "8388608)}'; "
      "echo still here");
  spec.mounts.push_back({.kind = Mount::Kind::Tmpfs, .source = {}, .destination = "/tmp", .size = 8u << 20});
  const auto ran = world.run(spec);
  EXPECT_EQ(ran.out, "1\nstill here\n") << ran.err;
}

TEST_F(AttackTest, AForkBombUnderALimitEndsWithItsSandbox) {
  SandboxSpec spec = world.command(
      {"perl", "-e",
       "$n = 0; while ($n < 5000) { my $p = fork(); last unless defined $p; $p or sleep 1000; ++$n }"
       "print $n < 50 ? 'bounded' : 'UNBOUNDED'"});
  spec.resources.pids = 40;
  std::vector<std::string> warnings;
  const Cgroup probe("probe-of-" + spec.id, {.pids = 10}, warnings);
  if (!warnings.empty()) GTEST_SKIP() << "cgroups are not ours here: " << warnings[0];
  const auto ran = world.run(spec);
  EXPECT_EQ(ran.out, "bounded");
}

TEST_F(AttackTest, AStepThatLeavesItsSessionEndsWithItsSandbox) {
  const std::string mark = "kiln-daemon-" + world.folder().filename().native();
  world.run("setsid sh -c 'trap \"\" TERM HUP; exec -a " + mark + " sleep 1000' >/dev/null 2>&1 & echo x");
  EXPECT_TRUE(processes_with(mark).empty());
}

}  // namespace
}  // namespace kiln::steps
