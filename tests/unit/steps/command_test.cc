// What a step runs, as whom, with which environment: the rules that need no sandbox.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/fs.h"
#include "steps/ca_bundle.h"
#include "steps/host_network.h"
#include "steps/step_command.h"
#include "steps/step_image.h"

namespace kiln::steps {
namespace {

using testing::ElementsAre;

TEST(VariablesTest, ExpandAsKubernetesDoes) {
  const Variables v{{"A", "1"}, {"B", "$(A)"}, {"EMPTY", ""}};
  EXPECT_EQ(expand_variables("x$(A)y", v), "x1y");
  EXPECT_EQ(expand_variables("$(B)", v), "$(A)") << "one pass";
  EXPECT_EQ(expand_variables("[$(EMPTY)]", v), "[]");
  EXPECT_EQ(expand_variables("$(UNKNOWN) $A ${A} $", v), "$(UNKNOWN) $A ${A} $");
  EXPECT_EQ(expand_variables("$$(A) $$$(A) $$", v), "$(A) $1 $");
  EXPECT_EQ(expand_variables("$(A", v), "$(A");
  EXPECT_EQ(expand_variables("$()", v), "$()");
}

TEST(VariablesTest, AnEnvEntryMayReferToEarlierOnes) {
  const Variables v = expand_env({{"A", "1"}, {"B", "$(A)2"}, {"C", "$(D)"}, {"D", "4"}, {"A", "$(A)!"}});
  EXPECT_EQ(v.at("B"), "12");
  EXPECT_EQ(v.at("C"), "$(D)");
  EXPECT_EQ(v.at("A"), "1!");
}

struct CommandCase {
  const char* name;
  std::vector<std::string> command, args, entrypoint, cmd;
  std::string script;
  std::vector<std::string> expected;
};

TEST(CommandTest, FollowsTektonsRules) {
  const CommandCase cases[] = {
      {"command beats the image", {"c"}, {"a"}, {"e"}, {"m"}, "", {"c", "a"}},
      {"command drops CMD", {"c"}, {}, {"e"}, {"m"}, "", {"c"}},
      {"entrypoint with args", {}, {"a"}, {"e"}, {"m"}, "", {"e", "a"}},
      {"entrypoint with CMD", {}, {}, {"e"}, {"m"}, "", {"e", "m"}},
      {"CMD is the command even with args", {}, {"a"}, {}, {"m"}, "", {"m", "a"}},
      {"CMD alone", {}, {}, {}, {"m", "n"}, "", {"m", "n"}},
      {"a script gets args", {}, {"a"}, {"e"}, {"m"}, "/s", {"/s", "a"}},
      {"a script drops CMD", {}, {}, {"e"}, {"m"}, "/s", {"/s"}},
      {"variables", {"$(V)"}, {"$(V)", "$$(V)"}, {}, {}, "", {"v", "v", "$(V)"}},
      {"not in the image's words", {}, {}, {"$(V)"}, {}, "", {"$(V)"}},
  };
  for (const CommandCase& c : cases) {
    StepSpec step;
    step.command = c.command;
    step.args = c.args;
    registry::ImageConfig image;
    image.entrypoint = c.entrypoint;
    image.cmd = c.cmd;
    EXPECT_EQ(step_command(step, image, c.script, {{"V", "v"}}), c.expected) << c.name;
  }
  EXPECT_THROW(step_command({.name = "s", .image = "i"}, {}, "", {}), Error);
}

TEST(CommandTest, ScriptsGetAPreambleUnlessTheyHaveAShebang) {
  EXPECT_EQ(script_file("echo $$(X) $(Y)"), "#!/bin/sh\nset -e\necho $$(X) $(Y)");
  EXPECT_EQ(script_file("#!/usr/bin/env python3\nprint()"), "#!/usr/bin/env python3\nprint()");
}

TEST(CommandTest, EnvironmentsStackFromWeakToStrong) {
  registry::ImageConfig image;
  image.env = {"A=image", "B=image", "C=image", "broken"};
  EXPECT_THAT(step_env(image, {"B=host", "C=host"}, {{"C", "step"}}, "/home/x"),
              ElementsAre("A=image", "B=host", "C=step", "HOME=/home/x",
                          "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"));
}

TEST(KilnStepTest, RunsKilnsVerbsAndNothingElse) {
  const std::vector<std::string> verbs{"build", "deploy"};
  StepSpec step{.name = "s", .image = "kiln", .args = {"build", "."}};
  EXPECT_EQ(kiln_step_problem(step, verbs), "");
  step.command = {"kiln"};
  EXPECT_EQ(kiln_step_problem(step, verbs), "");
  step.command = {"sh"};
  EXPECT_NE(kiln_step_problem(step, verbs).find("\"sh\""), std::string::npos);
  step.command = {};
  step.args = {"serve"};
  EXPECT_NE(kiln_step_problem(step, verbs).find("allowed are: build, deploy"), std::string::npos);
  step.args = {"$(VERB)"};
  EXPECT_NE(kiln_step_problem(step, verbs), "");
  step.args = {};
  EXPECT_NE(kiln_step_problem(step, verbs), "");
  step.args = {"build"};
  step.script = "echo";
  EXPECT_NE(kiln_step_problem(step, verbs).find("script"), std::string::npos);
}

TEST(KilnStep, GetsNoVariableThatSaysWhatToStartOrToBelieve) {
  StepSpec step{.name = "s", .args = {"build"}};
  for (const char* name :
       {"PATH", "LD_PRELOAD", "HOME", "DOCKER_CONFIG", "KILN_ALLOW_HOST", "GIT_SSH_COMMAND"}) {
    step.env = {{name, "x"}};
    EXPECT_NE(kiln_step_problem(step, {"build"}).find(name), std::string::npos);
  }
  for (const char* name : {"BP_NODE_VERSION", "HTTPS_PROXY", "https_proxy", "TZ"}) {
    step.env = {{name, "x"}};
    EXPECT_EQ(kiln_step_problem(step, {"build"}), "") << name;
  }
}

constexpr const char* kPasswd = "root:x:0:0::/root:/bin/sh\nbad line\nkiln:x:1000:1001::/home/kiln:/bin/sh\n";
constexpr const char* kGroup = "root:x:0:\nkiln:x:1001:\nbuild:x:2000:kiln,root\nwheel:x:10:kiln\n";

TEST(UserTest, IsResolvedInTheImage) {
  EXPECT_EQ(resolve_user("", kPasswd, kGroup).uid, 0u);
  const ImageUser named = resolve_user("kiln", kPasswd, kGroup);
  EXPECT_EQ(named.uid, 1000u);
  EXPECT_EQ(named.gid, 1001u);
  EXPECT_EQ(named.home, "/home/kiln");
  EXPECT_THAT(named.groups, ElementsAre(2000, 10));
  EXPECT_EQ(resolve_user("1000", kPasswd, kGroup).gid, 1001u);
  EXPECT_EQ(resolve_user("kiln:build", kPasswd, kGroup).gid, 2000u);
  EXPECT_EQ(resolve_user("7:8", "", "").gid, 8u);
  EXPECT_EQ(resolve_user("7", "", "").gid, 0u);
  const ImageUser forced = resolve_user("kiln", kPasswd, kGroup, 0, 5);
  EXPECT_EQ(forced.uid, 0u);
  EXPECT_EQ(forced.gid, 5u);
  EXPECT_THROW(resolve_user("nobody", kPasswd, kGroup), Error);
  EXPECT_THROW(resolve_user("kiln:nogroup", kPasswd, kGroup), Error);
  // A number too large to be one must not wrap around to root.
  EXPECT_THROW(resolve_user("4294967296", kPasswd, kGroup), Error);
}

TEST(ImageFileTest, TheTopmostLayerWinsAndLinksStayInside) {
  const TempDir folder;
  const fs::path top = folder.path() / "top", base = folder.path() / "base";
  make_dirs(top / "etc");
  make_dirs(base / "etc");
  write_file(base / "etc/a", "base");
  write_file(base / "etc/b", "base");
  write_file(top / "etc/a", "top");
  write_file(folder.path() / "secret", "host");
  fs::create_symlink(folder.path() / "secret", top / "etc/link");
  fs::create_symlink("../../secret", top / "etc/up");
  ASSERT_EQ(::mkfifo((top / "etc/fifo").c_str(), 0600), 0);
  const std::vector<fs::path> lowers{top, base};
  EXPECT_EQ(read_image_file(lowers, "/etc/a"), "top");
  EXPECT_EQ(read_image_file(lowers, "/etc/b"), "base");
  EXPECT_EQ(read_image_file(lowers, "/etc/c"), std::nullopt);
  EXPECT_EQ(read_image_file(lowers, "/etc/link"), std::nullopt);
  EXPECT_EQ(read_image_file(lowers, "/etc/up"), std::nullopt);
  EXPECT_EQ(read_image_file(lowers, "/etc/fifo"), std::nullopt);
}

std::string certificate(const std::string& body) {
  return "-----BEGIN CERTIFICATE-----\n" + body + "\n-----END CERTIFICATE-----\n";
}

TEST(HostNetworkTest, ProxiesRegistriesAndCertificatesAreInherited) {
  const TempDir folder;
  write_file(folder.path() / "ca.pem", certificate("own"));
  const HostNetwork network = host_network({{"HTTPS_PROXY", "http://proxy:3128"},
                                            {"no_proxy", "localhost"},
                                            {"npm_config_registry", "http://npm"},
                                            {"PIP_INDEX_URL", "http://pip"},
                                            {"PIP_FIND_LINKS", "/host/folder"},
                                            {"GOFLAGS", "-mod=mod"},
                                            {"SECRET_TOKEN", "x"},
                                            {"SSL_CERT_FILE", (folder.path() / "ca.pem").native()}},
                                           folder.path());
  const std::string bundle(kCaBundle);
  EXPECT_THAT(
      network.env,
      ElementsAre("CURL_CA_BUNDLE=" + bundle, "GIT_SSL_CAINFO=" + bundle, "HTTPS_PROXY=http://proxy:3128",
                  "NODE_EXTRA_CA_CERTS=" + std::string(kExtraCertificates), "PIP_CERT=" + bundle,
                  "PIP_INDEX_URL=http://pip", "REQUESTS_CA_BUNDLE=" + bundle, "SSL_CERT_FILE=" + bundle,
                  "no_proxy=localhost", "npm_config_registry=http://npm"));
  ASSERT_FALSE(network.mounts.empty());
  EXPECT_EQ(network.mounts[0].source, fs::canonical(folder.path() / "ca.pem"));
  EXPECT_EQ(network.mounts[0].destination, bundle);
  for (const Mount& mount : network.mounts) EXPECT_TRUE(mount.read_only);
}

TEST(HostNetworkTest, OnTheHostsRootNothingIsMounted) {
  const TempDir folder;
  const std::string bundle = (fs::canonical(folder.path()) / "ca.pem").native();
  write_file(bundle, "certificates");
  const HostNetwork network = host_network({{"SSL_CERT_FILE", bundle}}, folder.path(), Network::Host, true);
  EXPECT_TRUE(network.mounts.empty());
  EXPECT_THAT(network.env, testing::Contains("SSL_CERT_FILE=" + bundle));
}

TEST(HostNetworkTest, WithoutTheHostsNetworkItsNamesAreNotResolved) {
  const TempDir folder;
  for (const Mount& mount : host_network({}, folder.path(), Network::None).mounts)
    EXPECT_THAT(mount.destination, testing::AnyOf(kCaBundle, kExtraCertificates));
}

TEST(HostNetworkTest, CertificatesThatCannotBeLookedAtAreNotThere) {
  const TempDir folder;
  const std::string beyond = "/" + std::string(5000, 'x');  // as where this user may not enter
  const HostNetwork network = host_network({{"SSL_CERT_FILE", beyond}}, folder.path());
  for (const Mount& mount : network.mounts) EXPECT_NE(mount.source, beyond);
}

TEST(HostNetworkTest, NodeReadsOnlyTheCertificatesThatItDoesNotHave) {
  const fs::path mozilla = "/usr/share/ca-certificates/mozilla";
  if (!fs::is_directory(mozilla)) GTEST_SKIP() << "Debian's ca-certificates is not installed";
  const TempDir folder;
  std::string known;
  for (const auto& entry : fs::directory_iterator(mozilla)) known += read_file(entry.path());
  write_file(folder.path() / "mixed.pem", known + certificate("own"));
  EXPECT_EQ(extra_certificates(folder.path() / "mixed.pem"), certificate("own"));
  write_file(folder.path() / "plain.pem", known);
  const HostNetwork network =
      host_network({{"SSL_CERT_FILE", (folder.path() / "plain.pem").native()}}, folder.path());
  for (const std::string& variable : network.env)
    EXPECT_FALSE(variable.starts_with("NODE_EXTRA")) << variable;
}

}  // namespace
}  // namespace kiln::steps
