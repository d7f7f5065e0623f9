#include "cli/step_mode.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <gtest/gtest.h>
#include <set>

#include "base/fs.h"
#include "cli/context.h"
#include "cli/verbs.h"

namespace kiln::cli {
namespace {

class StepMode : public testing::Test {
 protected:
  StepMode() {
    make_dirs(own_);
    make_dirs(dir_.path() / "other");
    ::setenv("KILN_STEP", own_.c_str(), 1);
    app_.add_option("--root", root_);
    app_.add_option("--sandbox", root_);
    app_.add_option("--server", root_);
    verb_ = app_.add_subcommand("verb");
    verb_->add_option("--from", text_);
    verb_->add_option("--source", text_);
    verb_->add_option("--tag", text_);
    confine_to_step(app_);
  }
  ~StepMode() override { ::unsetenv("KILN_STEP"); }

  bool takes(std::vector<std::string> words) {
    std::ranges::reverse(words);
    try {
      app_.parse(words);
      return true;
    } catch (const CLI::ParseError&) {
      return false;
    }
  }

  TempDir dir_;
  const fs::path own_ = dir_.path() / "own";
  CLI::App app_;
  CLI::App* verb_ = nullptr;
  std::string root_, text_;
};

TEST_F(StepMode, PathsLeadIntoTheStepsOwnFolders) {
  EXPECT_TRUE(takes({"verb", "--from", own_ / "a"}));
  EXPECT_TRUE(takes({"verb", "--from", ""}));
  EXPECT_TRUE(takes({"verb", "--tag", "/etc"})) << "no path";
  EXPECT_FALSE(takes({"verb", "--from", dir_.path() / "other"}));
  EXPECT_FALSE(takes({"verb", "--from", own_ / "../other"}));
  EXPECT_FALSE(takes({"verb", "--from", own_.string() + "s"}));
  fs::create_directory_symlink(dir_.path() / "other", own_ / "link");
  EXPECT_FALSE(takes({"verb", "--from", own_ / "link/x"})) << "links are followed";
}

TEST_F(StepMode, SoDoPlacesOfImages) {
  EXPECT_TRUE(takes({"verb", "--source", "docker://localhost:1/app:v1"}));
  EXPECT_TRUE(takes({"verb", "--source", "oci:" + (own_ / "layout").string() + ":v1"}));
  EXPECT_FALSE(takes({"verb", "--source", "oci:" + (dir_.path() / "other").string() + ":v1"}));
  EXPECT_FALSE(takes({"verb", "--source", "dir:/etc"}));
}

TEST_F(StepMode, WhatWasSetUpForTheStepStays) {
  for (const char* flag : {"--root", "--sandbox", "--server"})
    EXPECT_FALSE(takes({flag, "/elsewhere", "verb"})) << flag;
}

// A new option of a verb that steps may run has to be looked at: one that names a file or a folder belongs
// into cli/step_mode.cc, any other here.
TEST(StepModeOfVerbs, EveryOptionIsAPathAPlaceOrHarmless) {
  const std::set<std::string> known{
      // paths and places
      "builder", "commit-file", "digest-file", "file", "folder", "from", "image", "metadata-file",
      "revision-file", "source", "target", "url-file",
      // what names nothing of this machine
      "all", "build-image", "clear-cache", "concurrency-limit", "dry-run", "env", "format", "grace", "help",
      "http-proxy", "https-proxy", "json", "namespace", "no-proxy", "optional", "output", "platform",
      "policy", "port", "push", "quiet", "raw", "refspec", "revision", "run-image", "service", "ssl-verify",
      "submodules", "tag", "url", "wait-timeout"};
  CLI::App app;
  Context context;
  add_build(app, context);
  add_deploy(app, context);
  add_git_clone(app, context);
  add_image(app, context);
  std::vector<const CLI::App*> verbs{&app};
  for (size_t i = 0; i < verbs.size(); ++i) {
    for (const CLI::Option* option : verbs[i]->get_options()) {
      const std::string name =
          option->get_lnames().empty() ? option->get_name(true) : option->get_lnames()[0];
      EXPECT_TRUE(known.contains(name)) << verbs[i]->get_name() << ": " << name;
    }
    for (const CLI::App* verb : verbs[i]->get_subcommands([](const CLI::App*) { return true; }))
      verbs.push_back(verb);
  }
}

}  // namespace
}  // namespace kiln::cli
