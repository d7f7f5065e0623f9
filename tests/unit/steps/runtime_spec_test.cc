#include "steps/runtime_spec.h"

#include <nlohmann/json.hpp>
#include <sys/syscall.h>

#include "base/error.h"
#include "base/process.h"
#include "tests/unit/steps/world.h"

namespace kiln::steps {
namespace {

TEST(RuntimeSpecTest, DescribesTheSameWorld) {
  SandboxSpec spec;
  spec.id = "a/b";
  spec.args = {"echo", "x"};
  spec.env = {"A=b"};
  spec.uid = 7;
  spec.network = Network::None;
  spec.resources = {.memory_bytes = 1 << 20, .pids = 5, .cpus = 0.5};
  spec.mounts = {{.source = "/src", .destination = "/dst", .read_only = true}};
  const nlohmann::json json = nlohmann::json::parse(runtime_spec(spec, "/root"));
  EXPECT_EQ(json["process"]["args"], spec.args);
  EXPECT_EQ(json["process"]["user"]["uid"], 7);
  EXPECT_TRUE(json["process"]["capabilities"]["bounding"].empty());
  EXPECT_TRUE(json["process"]["noNewPrivileges"]);
  EXPECT_EQ(json["linux"]["cgroupsPath"], "/kiln-a-b");
  EXPECT_EQ(json["linux"]["resources"]["cpu"]["quota"], 50'000);
  EXPECT_EQ(json["linux"]["namespaces"].back()["type"], "network");
  EXPECT_EQ(json["mounts"].back()["destination"], "/dst");
  EXPECT_EQ(runtime_spec(spec, "/root"), runtime_spec(spec, "/root"));
}

class RuncTest : public testing::Test {
 protected:
  void SetUp() override {
    KILN_NEEDS_ROOT();
    if (!find_program("runc")) GTEST_SKIP() << "runc is not installed";
    runtime = make_runtime("runc", world.folder() / "run");
  }
  World world;
  std::unique_ptr<SandboxRuntime> runtime;
};

TEST_F(RuncTest, RunsTheSameStep) {
  std::string out;
  const SandboxSpec spec =
      world.shell("id -u; grep CapEff /proc/self/status; cat /etc/origin; echo x > /etc/origin; exit 7");
  const RunResult result = run_to_end(*runtime, spec, [&](bool, std::string_view bytes) { out += bytes; });
  EXPECT_EQ(result.status.code, 7) << out << result.status.message;
  EXPECT_EQ(out, "0\nCapEff:\t00000000a00425fb\nimage\n");
  EXPECT_EQ(read_file(world.rootfs() / "etc/origin"), "image\n");
  EXPECT_EQ(read_file("/proc/self/mountinfo").find(world.folder().native()), std::string::npos)
      << "a mount is left";
}

TEST_F(RuncTest, VsocketsAreRefusedWhateverStandsInTheUpperHalf) {
  std::string out;
  const std::string call = "syscall(" + std::to_string(SYS_socket) + ", ";
  const SandboxSpec spec = world.command({"perl", "-e",
                                          "for $domain (1, 2, 40, (1 << 32) | 40) { $! = 0; print " + call +
                                              "$domain, 1, 0) >= 0 ? 'made ' : $!+0, ' ' }"});
  run_to_end(*runtime, spec, [&](bool, std::string_view bytes) { out += bytes; });
  EXPECT_EQ(out, "made  made  1 1 ");
}

TEST_F(RuncTest, ACommandThatIsMissingIsNotStarted) {
  const RunResult result = run_to_end(*runtime, world.command({"no-such-program"}), {});
  EXPECT_FALSE(result.status.started);
  EXPECT_EQ(result.status.code, 127);
  EXPECT_NE(result.status.message.find("no-such-program"), std::string::npos) << result.status.message;
}

TEST_F(RuncTest, ATimeoutEndsIt) {
  const RunResult result = run_to_end(*runtime, world.command({"sleep", "1000"}), {}, {},
                                      std::chrono::milliseconds(300), std::chrono::milliseconds(300));
  EXPECT_TRUE(result.timed_out);
  EXPECT_NE(result.status.code, 0);
}

}  // namespace
}  // namespace kiln::steps
