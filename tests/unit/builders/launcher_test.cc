// The launcher as a program: what is carried inside kiln, run in a folder that stands for an image.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/fs.h"
#include "base/process.h"

extern "C" const unsigned char kiln_launcher_program_begin[], kiln_launcher_program_end[];

namespace kiln::builders {
namespace {

using testing::HasSubstr;
using testing::Not;

class LauncherTest : public testing::Test {
 protected:
  LauncherTest() {
    write_file(root() / "launcher",
               {reinterpret_cast<const char*>(kiln_launcher_program_begin),
                static_cast<size_t>(kiln_launcher_program_end - kiln_launcher_program_begin)},
               0755);
    for (const char* name : {"app/sub", "layers/config", "process"}) make_dirs(root() / name);
    metadata(R"(
[[buildpacks]]
id = "kiln/one"
[[buildpacks]]
id = "kiln/two"
[[processes]]
type = "web"
command = ["sh", "-c"]
args = ["echo default"]
[[processes]]
type = "sub"
command = ["pwd"]
working-dir = "sub"
[[processes]]
type = "missing"
command = ["no-such-program"]
)");
  }
  const fs::path& root() const { return dir_.path(); }
  void metadata(const std::string& text) { write_file(root() / "layers/config/metadata.toml", text); }
  // "kiln_one/layer/env/NAME" below layers/.
  void put(const std::string& path, const std::string& content, mode_t mode = 0644) {
    make_dirs((root() / "layers" / path).parent_path());
    write_file(root() / "layers" / path, content, mode);
  }
  Finished launch(const std::string& called_as, std::vector<std::string> args = {}) {
    const fs::path program = called_as == "launcher" ? root() / "launcher" : root() / "process" / called_as;
    if (called_as != "launcher" && !fs::exists(program)) fs::create_symlink(root() / "launcher", program);
    args.insert(args.begin(), program.string());
    Environment env = current_environment();
    env["CNB_LAYERS_DIR"] = (root() / "layers").string();
    env["CNB_APP_DIR"] = (root() / "app").string();
    env["CNB_PLATFORM_API"] = "0.12";
    env["CNB_DEPRECATION_MODE"] = "quiet";
    env["GIVEN"] = "given";
    for (const auto& [name, value] : more_env) env[name] = value;
    return run({.argv = args, .environment = env, .directory = {}, .input = {}});
  }
  std::string shell(const std::string& script) {
    const Finished finished = launch("web", {script});
    EXPECT_TRUE(finished.ok()) << finished.errors;
    return finished.output;
  }
  std::string error(const std::string& called_as, std::vector<std::string> args = {}) {
    const Finished finished = launch(called_as, std::move(args));
    EXPECT_EQ(finished.exit_code, 82) << finished.output;
    return finished.errors;
  }
  Environment more_env;

 private:
  TempDir dir_;
};

TEST_F(LauncherTest, ItsNameSaysTheProcess) {
  EXPECT_EQ(launch("web").output, "default\n");
}

TEST_F(LauncherTest, ArgumentsReplaceTheProcesssOwn) {
  EXPECT_EQ(launch("web", {"echo mine; echo $0", "zero"}).output, "mine\nzero\n");
}

TEST_F(LauncherTest, ByItsOwnNameItTakesAProcessOrAProgram) {
  EXPECT_EQ(launch("launcher", {"web"}).output, "default\n");
  EXPECT_EQ(launch("launcher", {"echo", "any program"}).output, "any program\n");
}

TEST_F(LauncherTest, StartsInTheAppOrTheProcesssFolder) {
  EXPECT_EQ(shell("pwd"), fs::canonical(root() / "app").string() + "\n");
  EXPECT_EQ(launch("sub").output, fs::canonical(root() / "app/sub").string() + "\n");
}

TEST_F(LauncherTest, TheExitCodeIsTheProcesss) {
  EXPECT_EQ(launch("web", {"exit 7"}).exit_code, 7);
}

TEST_F(LauncherTest, ItsOwnVariablesStayBehind) {
  EXPECT_THAT(shell("env"), AllOf(HasSubstr("GIVEN=given"), Not(HasSubstr("CNB_"))));
}

TEST_F(LauncherTest, EnvFoldersApplyInOrder) {
  put("kiln_two/a/env/V.append", "-two");
  put("kiln_one/b/env.launch/V.append", "-b");
  put("kiln_one/b/env.launch/web/V.append", "-web");
  put("kiln_one/b/env.launch/other/V.append", "-other");
  put("kiln_one/b/env.build/V.append", "-building");
  put("kiln_one/a/env/V", "a");
  put("kiln_unknown/a/env/V.append", "-unknown");
  EXPECT_EQ(shell("echo $V"), "a-b-web-two\n");
}

TEST_F(LauncherTest, LayerRootsComeBeforeEnvFolders) {
  put("kiln_one/x/bin/tool", "#!/bin/sh\necho tool of x\n", 0755);
  put("kiln_one/y/lib/libx.so", "");
  put("kiln_one/x/env/PATH.prepend", "/first:");
  EXPECT_EQ(shell("tool"), "tool of x\n");
  EXPECT_THAT(shell("echo $PATH"),
              testing::StartsWith("/first:" + (root() / "layers/kiln_one/x/bin").string()));
  EXPECT_EQ(shell("echo $LD_LIBRARY_PATH; echo ${LIBRARY_PATH-unset}"),
            (root() / "layers/kiln_one/y/lib").string() + "\nunset\n");
}

TEST_F(LauncherTest, ExecDWritesVariablesToDescriptorThree) {
  put("kiln_one/x/env/A", "layer");
  put("kiln_one/x/exec.d/1", "#!/bin/sh\necho \"A = \\\"$A+one\\\"\" >&3\n", 0755);
  put("kiln_one/x/exec.d/2", "#!/bin/sh\necho \"A = \\\"$A+two\\\"\" >&3; echo 'B = \"b c\"' >&3\n", 0755);
  put("kiln_one/x/exec.d/web/1", "#!/bin/sh\necho \"A = \\\"$A+web\\\"\" >&3\n", 0755);
  put("kiln_one/x/exec.d/other/1", "#!/bin/sh\nexit 1\n", 0755);
  EXPECT_EQ(shell("echo \"$A $B\""), "layer+one+two+web b c\n");
}

TEST_F(LauncherTest, ABrokenExecDStopsTheLaunch) {
  put("kiln_one/x/exec.d/1", "#!/bin/sh\nexit 3\n", 0755);
  EXPECT_THAT(error("web"), HasSubstr("exec.d/1 failed"));
  put("kiln_one/x/exec.d/1", "#!/bin/sh\necho 'A = ' >&3\n", 0755);
  EXPECT_THAT(error("web"), HasSubstr("exec.d/1: "));
  put("kiln_one/x/exec.d/1", "#!/bin/sh\necho 'A = 3' >&3\n", 0755);
  EXPECT_THAT(error("web"), HasSubstr("\"A\" is not a string"));
}

TEST_F(LauncherTest, WhatCannotBeLaunchedIsExplainedWithItsOwnExitCode) {
  EXPECT_THAT(error("nope"), HasSubstr("there is no process type \"nope\""));
  EXPECT_THAT(error("missing"), HasSubstr("\"no-such-program\" is not in PATH"));
  EXPECT_THAT(error("launcher"), HasSubstr("name a process type or a program"));
  make_dirs(root() / "bin/folder");
  more_env["PATH"] = (root() / "bin").string();
  EXPECT_THAT(error("launcher", {"folder"}), HasSubstr("\"folder\" is not in PATH"));
  remove_tree(root() / "app");
  EXPECT_THAT(error("web"), HasSubstr("cannot enter"));
  metadata("not toml");
  EXPECT_THAT(error("web"), HasSubstr("cannot read the image's process types"));
}

}  // namespace
}  // namespace kiln::builders
