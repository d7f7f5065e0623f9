// What a step cannot do.
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "tests/unit/steps/world.h"

namespace kiln::steps {
namespace {

class IsolationTest : public testing::Test {
 protected:
  void SetUp() override { KILN_NEEDS_SANDBOX(); }
  // Runs a system call inside by perl; prints "errno <n>" (0 when it succeeded).
  std::string system_call(const std::string& arguments, uint32_t uid = 0) {
    SandboxSpec spec = world.command(
        {"perl", "-e", "$! = 0; $r = syscall(" + arguments + "); print 'errno ', $r == -1 ? $!+0 : 0"});
    spec.uid = spec.gid = uid;
    return world.run(spec).out;
  }
  World world;
};

std::string number(long call) {
  return std::to_string(call);
}

TEST_F(IsolationTest, RootHasDockersCapabilitiesAndNoMore) {
  const auto ran = world.run("grep -E 'Cap|NoNewPrivs|Seccomp:' /proc/self/status");
  // 0xa80425fb (Docker's set) without bit 27, mknod.
  EXPECT_EQ(ran.out,
            "CapInh:\t0000000000000000\nCapPrm:\t00000000a00425fb\nCapEff:\t00000000a00425fb\n"
            "CapBnd:\t00000000a00425fb\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n");
}

TEST_F(IsolationTest, OthersHaveNone) {
  SandboxSpec spec = world.shell("id -u; id -g; grep -E 'Cap' /proc/self/status | cut -f2 | sort -u");
  spec.uid = 1000;
  spec.gid = 1001;
  EXPECT_EQ(world.run(spec).out, "1000\n1001\n0000000000000000\n");
}

TEST_F(IsolationTest, GroupsAreSetExactly) {
  KILN_NEEDS_ROOT();
  SandboxSpec spec = world.command({"id", "-G"});
  spec.uid = 1000;
  spec.gid = 1000;
  spec.groups = {2000, 3000};
  EXPECT_EQ(world.run(spec).out, "1000 2000 3000\n");
}

TEST_F(IsolationTest, DangerousSystemCallsAreRefused) {
  const std::string refused = "errno " + std::to_string(EPERM);
  EXPECT_EQ(system_call(number(SYS_mount) + ", 0, 0, 0, 0, 0"), refused);
  EXPECT_EQ(system_call(number(SYS_unshare) + ", 0x10000000"), refused) << "CLONE_NEWUSER";
  EXPECT_EQ(system_call(number(SYS_clone) + ", 0x10000011, 0, 0, 0, 0"), refused) << "CLONE_NEWUSER";
  EXPECT_EQ(system_call(number(SYS_clone3) + ", 0, 0"), "errno " + std::to_string(ENOSYS));
  EXPECT_EQ(system_call(number(SYS_keyctl) + ", 0, 0"), refused);
  EXPECT_EQ(system_call(number(SYS_bpf) + ", 0, 0, 0"), refused);
  EXPECT_EQ(system_call(number(SYS_open_by_handle_at) + ", 0, 0, 0"), refused);
  EXPECT_EQ(system_call(number(SYS_socket) + ", 40, 1, 0"), refused) << "AF_VSOCK";
  EXPECT_EQ(system_call(number(SYS_socket) + ", 1, 1, 0"), "errno 0");
}

TEST_F(IsolationTest, NobodyMayLookIntoPidOne) {
  const std::string refused = "errno " + std::to_string(EPERM);
  EXPECT_EQ(system_call(number(SYS_ptrace) + ", 16, 1, 0, 0"), refused) << "PTRACE_ATTACH";
  EXPECT_EQ(system_call(number(SYS_kill) + ", 1, 9"), "errno 0")
      << "a signal to PID 1 from inside is ignored";
  EXPECT_NE(world.run("ls /proc/1/fd /proc/1/root/").status.code, 0);
}

TEST_F(IsolationTest, DeviceNodesAreRefused) {
  const auto ran = world.run("mknod /dev/sda b 8 0; mknod /tmp/null c 1 3; ls /dev | tr '\\n' ' '");
  EXPECT_NE(ran.err.find("Operation not permitted"), std::string::npos);
  EXPECT_EQ(ran.out, "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero ");
}

TEST_F(IsolationTest, DeviceNodesOfAnImageDoNotWork) {
  KILN_NEEDS_ROOT();
  ASSERT_EQ(::mknod((world.rootfs() / "null").c_str(), S_IFCHR | 0666, makedev(1, 3)), 0);
  EXPECT_NE(world.run("echo > /null").err.find("Permission denied"), std::string::npos);
}

TEST_F(IsolationTest, TheUsualDevicesWork) {
  EXPECT_EQ(world
                .run("head -c 3 /dev/zero | wc -c; head -c 3 /dev/urandom | wc -c; echo lost > /dev/null; "
                     "echo via >/dev/stdout; touch /dev/shm/x; ls /dev/pts; echo x > /dev/full")
                .out,
            "3\n3\nvia\nptmx\n");
}

TEST_F(IsolationTest, ProcAndSysAreReadOnlyAndMasked) {
  const auto ran = world.run(
      "for f in /proc/sys/kernel/hostname /proc/sysrq-trigger /sys/kernel/profiling; do "
      "(echo x > $f) 2>/dev/null && echo wrote $f; done; wc -c < /proc/keys; ls /sys/firmware | wc -l; "
      "cat /proc/kcore | wc -c");
  EXPECT_EQ(ran.out, "0\n0\n0\n") << ran.err;
}

TEST_F(IsolationTest, ReadOnlyMountsAreSoToTheirDepth) {
  KILN_NEEDS_ROOT();
  // /dev has mounts below it on every machine.
  SandboxSpec spec = world.shell("touch /m/kiln-was-here; touch /m/shm/kiln-was-here; ls /m /m/shm");
  spec.mounts.push_back({.source = "/dev", .destination = "/m", .read_only = true});
  const auto ran = world.run(spec);
  EXPECT_EQ(ran.out.find("kiln-was-here"), std::string::npos);
  EXPECT_NE(ran.err.find("/m/shm/kiln-was-here"), std::string::npos)
      << "the tmpfs below /dev must be read-only too";
}

TEST_F(IsolationTest, SetuidProgramsGainNothing) {
  KILN_NEEDS_ROOT();
  fs::copy_file("/usr/bin/id", world.rootfs() / "suid");
  ::chmod((world.rootfs() / "suid").c_str(), 04755);
  SandboxSpec spec = world.command({"/suid", "-u"});
  spec.uid = spec.gid = 1000;
  EXPECT_EQ(world.run(spec).out, "1000\n");
}

TEST_F(IsolationTest, AHostRootIsReadOnlyWithItsOwnTmp) {
  write_file(world.folder() / "on-host", "");
  SandboxSpec spec = world.shell(
      "ls /tmp | wc -l; touch /etc/kiln-was-here /usr/kiln-was-here; touch /tmp/x && echo ok; "
      "grep -c . /etc/passwd > /dev/null && echo host");
  spec.rootfs.host = true;
  spec.mounts.clear();
  const auto ran = world.run(spec);
  EXPECT_EQ(ran.out, "0\nok\nhost\n") << ran.err;
  EXPECT_FALSE(fs::exists("/etc/kiln-was-here"));
}

TEST_F(IsolationTest, ATrustedStepWritesOnlyItsFoldersAndMakesSandboxes) {
  const fs::path own = world.folder() / "own";
  make_dirs(own);
  SandboxSpec spec =
      world.shell("touch " + (own / "x").native() +
                  " && echo wrote; touch /etc/kiln-was-here 2>/dev/null || echo kept; "
                  "unshare -m -p -f --mount-proc -U -r sh -c 'echo nested; set -- /proc/[0-9]*; echo $#'");
  spec.rootfs.host = true;
  spec.trusted = true;
  spec.mounts = {{.source = own, .destination = own}};
  const auto ran = world.run(spec);
  EXPECT_EQ(ran.out, "wrote\nkept\nnested\n1\n") << ran.err;
}

TEST_F(IsolationTest, SandboxesWorkInsideATrustedStep) {
  const std::string self = fs::read_symlink("/proc/self/exe").native();
  SandboxSpec spec = world.command({self, "--gtest_filter=SandboxTest.*:IsolationTest.D*:IsolationTest.P*"});
  spec.rootfs.host = true;
  spec.trusted = true;
  // A trusted step sees the host's /tmp as it sees the rest: read-only.
  spec.mounts = {{.kind = Mount::Kind::Tmpfs, .source = {}, .destination = "/var/tmp", .size = 256 << 20}};
  spec.env.push_back("TMPDIR=/var/tmp");
  const auto ran = world.run(spec);
  EXPECT_EQ(ran.status.code, 0) << ran.out << ran.err;
  EXPECT_EQ(ran.out.find("no sandboxes here"), std::string::npos) << ran.out;
}

TEST_F(IsolationTest, AStepNeedNotBeRootToWriteItsMounts) {
  const fs::path workspace = world.folder() / "workspace";
  make_dirs(workspace / "src");
  write_file(workspace / "src/old", "");
  SandboxSpec spec = world.shell("stat -c %u:%g /w/src/old && touch /w/src/new && rm /w/src/old");
  spec.uid = 1234;
  spec.gid = 1235;
  spec.mounts.push_back({.source = workspace, .destination = "/w", .owned_by_step = true});
  const auto ran = world.run(spec);
  if (ran.out == "0:0\n") GTEST_SKIP() << "the file system of " << workspace << " cannot map owners";
  EXPECT_EQ(ran.out, "1234:1235\n") << ran.err;
  struct stat st;
  ASSERT_EQ(::stat((workspace / "src/new").c_str(), &st), 0);
  EXPECT_EQ(st.st_uid, ::geteuid()) << "what the step made belongs to the folder's owner";
}

}  // namespace
}  // namespace kiln::steps
