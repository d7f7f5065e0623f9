// What a sandbox's root is made of: layers, what is written over them, mounts.
#include <sys/stat.h>

#include "base/error.h"
#include "base/fs.h"
#include "tests/unit/steps/world.h"

namespace kiln::steps {
namespace {

class RootTest : public testing::Test {
 protected:
  void SetUp() override { KILN_NEEDS_SANDBOX(); }
  World world;
};

TEST_F(RootTest, AnUpperOfItsOwnIsThrownAway) {
  EXPECT_EQ(world.run("echo changed > /etc/origin && rm /etc/group && mkdir /new && cat /etc/origin").out,
            "changed\n");
  EXPECT_EQ(world.run("cat /etc/origin; ls -d /etc/group; ls -d /new").out, "image\n/etc/group\n");
  EXPECT_EQ(read_file(world.rootfs() / "etc/origin"), "image\n");
}

TEST_F(RootTest, AGivenUpperIsKeptForTheNext) {
  SandboxSpec spec = world.shell("echo changed > /etc/origin; rm /etc/group; mkdir -p /var/new");
  spec.rootfs.upper = world.folder() / "kept";
  ASSERT_EQ(world.run(spec).status.code, 0);
  SandboxSpec next = world.shell("cat /etc/origin; ls /etc/group /var");
  next.rootfs.upper = spec.rootfs.upper;
  const auto ran = world.run(next);
  EXPECT_NE(ran.out.find("changed\n"), std::string::npos) << ran.err;
  EXPECT_NE(ran.out.find("new"), std::string::npos);
  EXPECT_NE(ran.err.find("/etc/group"), std::string::npos);
  EXPECT_EQ(read_file(spec.rootfs.upper / "upper/etc/origin"), "changed\n");
}

TEST_F(RootTest, HundredsOfLayersMakeOneRoot) {
  SandboxSpec spec = world.shell("ls /layers | wc -l; cat /layers/which");
  std::vector<fs::path> lowers;
  for (int i = 0; i < 300; ++i) {
    const fs::path lower = world.folder() / ("a rather long, odd:name of a layer " + std::to_string(i));
    make_dirs(lower / "layers");
    write_file(lower / "layers" / std::to_string(i), "");
    write_file(lower / "layers/which", std::to_string(i) + "\n");
    lowers.push_back(lower);
  }
  lowers.push_back(world.rootfs());
  spec.rootfs.lowers = lowers;
  const auto ran = world.run(spec);
  EXPECT_EQ(ran.out, "301\n0\n") << ran.err;  // the topmost layer's file wins
}

TEST_F(RootTest, MoreLayersThanLinuxStacksAreRefusedWithTheirNumber) {
  SandboxSpec spec = world.command({"true"});
  for (int i = 0; i < 499; ++i) {
    spec.rootfs.lowers.push_back(world.folder() / std::to_string(i));
    make_dirs(spec.rootfs.lowers.back());
  }
  EXPECT_EQ(world.run(spec).status.code, 0) << "500 are possible";
  spec.rootfs.lowers.push_back(world.folder() / "1");
  try {
    world.run(spec);
    FAIL() << "started";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Invalid);
    EXPECT_NE(error.full().find("501 layers"), std::string::npos) << error.full();
  }
}

TEST_F(RootTest, ReadOnlyRootIsReadOnly) {
  SandboxSpec spec = world.shell("touch /x 2>&1; touch /mnt/kept/y && echo ok");
  spec.rootfs.read_only = true;
  make_dirs(world.folder() / "work");
  ::chmod((world.folder() / "work").c_str(), 0777);
  spec.mounts.push_back({.source = world.folder() / "work", .destination = "/mnt/kept"});
  const auto ran = world.run(spec);
  EXPECT_NE(ran.out.find("Read-only file system"), std::string::npos);
  EXPECT_NE(ran.out.find("ok\n"), std::string::npos);
}

TEST_F(RootTest, ALinkInTheImageCannotLeadAMountOut) {
  const fs::path outside = world.folder() / "outside";
  make_dirs(outside);
  fs::create_directory_symlink(outside, world.rootfs() / "escape");
  const fs::path source = world.folder() / "source";
  make_dirs(source);
  SandboxSpec spec = world.command({"true"});
  spec.mounts.push_back({.source = source, .destination = "/escape/inner"});
  try {
    world.run(spec);
  } catch (const Error&) {  // refusing is as good
  }
  EXPECT_TRUE(fs::is_empty(outside));
}

TEST_F(RootTest, NothingIsMadeOutsideWhereAnImageLeadsUpFromItsTop) {
  const fs::path outside = world.folder() / "outside";
  make_dirs(outside);
  // From the top of the image up: where the machine's root lay while the sandbox was made.
  fs::create_symlink("/.." + outside.string(), world.rootfs() / "up");
  const auto try_run = [&](const SandboxSpec& spec) {
    try {
      world.run(spec);
    } catch (const Error&) {  // refusing is as good
    }
  };
  make_dirs(world.folder() / "source");
  write_file(world.folder() / "file", "x");
  for (const Mount& mount :
       {Mount{.source = world.folder() / "source", .destination = "/up/folder"},
        Mount{.source = world.folder() / "file", .destination = "/up/file"},
        Mount{.kind = Mount::Kind::Tmpfs, .source = {}, .destination = "/up/tmpfs"},
        Mount{.kind = Mount::Kind::Copy, .source = world.folder() / "file", .destination = "/up/copy"}}) {
    SandboxSpec spec = world.command({"true"});
    spec.mounts.push_back(mount);
    try_run(spec);
    EXPECT_TRUE(fs::is_empty(outside)) << mount.destination;
  }
  SandboxSpec spec = world.command({"true"});
  spec.cwd = "/up/cwd";
  try_run(spec);
  EXPECT_TRUE(fs::is_empty(outside));
}

TEST_F(RootTest, AMountsSourceDoesNotLeaveItsFolder) {
  const fs::path volume = world.folder() / "volume";
  make_dirs(volume / "inside");
  write_file(volume / "inside/word", "fine");
  fs::create_symlink("inside", volume / "link");
  SandboxSpec spec = world.command({"cat", "/x/word"});
  spec.mounts.push_back({.source = volume / "link", .destination = "/x", .within = volume});
  EXPECT_EQ(world.run(spec).out, "fine");
  for (const char* target : {"/etc", "../../../../../../etc", "/proc/self/root/etc"}) {
    fs::remove(volume / "link");
    fs::create_symlink(target, volume / "link");
    spec.args = {"ls", "/x"};
    try {
      const auto ran = world.run(spec);
      EXPECT_FALSE(ran.status.started) << ran.out;
    } catch (const Error&) {
    }
  }
}

TEST_F(RootTest, DanglingLinksGiveWayToFileMounts) {
  fs::create_symlink("../run/systemd/resolve/stub-resolv.conf", world.rootfs() / "etc/resolv.conf");
  write_file(world.folder() / "resolv", "nameserver 192.0.2.1\n");
  SandboxSpec spec = world.command({"cat", "/etc/resolv.conf"});
  spec.mounts.push_back(
      {.source = world.folder() / "resolv", .destination = "/etc/resolv.conf", .read_only = true});
  EXPECT_EQ(world.run(spec).out, "nameserver 192.0.2.1\n");
}

TEST_F(RootTest, AMissingMountSourceIsNamed) {
  SandboxSpec spec = world.command({"true"});
  spec.mounts.push_back({.source = "/no/such/folder", .destination = "/x"});
  try {
    world.run(spec);
    FAIL() << "started";
  } catch (const Error& error) {
    EXPECT_NE(error.full().find("/no/such/folder"), std::string::npos) << error.full();
  }
}

}  // namespace
}  // namespace kiln::steps
