#include "cli/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/fs.h"
#include "cli/terminal.h"
#include "cli/yaml_json.h"
#include "registry/image_aliases.h"

namespace kiln::cli {
namespace {

using testing::ElementsAre;

std::vector<std::string> arguments(std::vector<const char*> words) {
  return arguments_of(static_cast<int>(words.size()), const_cast<char**>(words.data()));
}

TEST(OptionsTest, AnEmptyValueStaysAnEmptyValue) {
  EXPECT_THAT(arguments({"kiln", "git-clone", "--revision=", "--url=x", "dir"}),
              ElementsAre("git-clone", "--revision", "", "--url=x", "dir"));
  EXPECT_THAT(arguments({"kiln", "--", "--x="}), ElementsAre("--", "--x="));
}

TEST(OptionsTest, EveryFlagHasAnEnvironmentVariable) {
  CLI::App app;
  std::string value;
  app.add_subcommand("verb")->add_option("--wait-timeout", value);
  add_environment_names(app);
  ::setenv("KILN_WAIT_TIMEOUT", "from-environment", 1);
  std::vector<std::string> words{"verb"};
  app.parse(words);
  EXPECT_EQ(value, "from-environment");
  words = {"flag", "--wait-timeout", "verb"};  // the flag wins
  app.parse(words);
  EXPECT_EQ(value, "flag");
  ::unsetenv("KILN_WAIT_TIMEOUT");
}

std::string problem_of(CLI::App& app, std::vector<std::string> words) {
  std::ranges::reverse(words);
  try {
    app.parse(words);
  } catch (const CLI::ParseError& error) {
    return usage_error(app, error).full_with_hint();
  }
  return "none";
}

TEST(OptionsTest, WhatIsTypedWrongIsNamedWithTheNextStep) {
  CLI::App app("", "kiln");
  app.require_subcommand(1);
  std::string file;
  size_t jobs = 0;
  CLI::App* run = app.add_subcommand("run");
  run->add_option("file", file)->required();
  run->add_option("--jobs", jobs)->check(CLI::NonNegativeNumber);
  app.add_subcommand("runs")->require_subcommand(1)->add_subcommand("list");
  EXPECT_THAT(problem_of(app, {"rnu", "x"}),
              testing::AllOf(testing::HasSubstr("`kiln rnu`"), testing::HasSubstr("`run`")));
  EXPECT_THAT(problem_of(app, {"runs", "lits"}),
              testing::AllOf(testing::HasSubstr("`kiln runs lits`"), testing::HasSubstr("`list`")));
  EXPECT_THAT(problem_of(app, {"run", "f", "--jbos=3"}),
              testing::AllOf(testing::HasSubstr("--jbos"), testing::HasSubstr("`--jobs`")));
  EXPECT_THAT(problem_of(app, {"run", "f", "--jobs", "-1"}), testing::HasSubstr("`kiln run --help`"));
  EXPECT_THAT(problem_of(app, {"run"}), testing::HasSubstr("file is required"));
  EXPECT_THAT(problem_of(app, {}), testing::HasSubstr("`kiln --help`"));
}

TEST(OptionsTest, ASettingThatThereIsNotIsNamed) {
  CLI::App app;
  size_t jobs = 0;
  app.add_subcommand("run")->add_option("-j,--jobs", jobs);
  check_setting_names(app, nlohmann::json::parse(R"({"jobs": 3, "images": {}, "registry": {}})"),
                      "config.toml");
  try {
    check_setting_names(app, nlohmann::json::parse(R"({"jbos": 3})"), "config.toml");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.full_with_hint(),
                testing::AllOf(testing::HasSubstr("\"jbos\""), testing::HasSubstr("`jobs`")));
  }
}

TEST(OptionsTest, AFileSettingIsWeakerThanTheEnvironment) {
  const TempDir dir;
  write_file(dir.path() / "config.toml", "kiln-test-a = \"file\"\nkiln-test-b = 3\n[images]\nx = \"y\"\n");
  ::setenv("KILN_KILN_TEST_A", "environment", 1);
  load_settings(dir.path() / "config.toml");
  EXPECT_STREQ(std::getenv("KILN_KILN_TEST_A"), "environment");
  EXPECT_STREQ(std::getenv("KILN_KILN_TEST_B"), "3");
  EXPECT_EQ(std::getenv("KILN_IMAGES"), nullptr) << "tables belong to others";
  load_settings(dir.path() / "missing.toml");
  write_file(dir.path() / "bad.toml", "a = ");
  EXPECT_THROW(load_settings(dir.path() / "bad.toml"), Error);
}

TEST(OptionsTest, ListsAreForFlagsThatMayBeGivenSeveralTimes) {
  CLI::App app;
  CLI::App* verb = app.add_subcommand("verb");
  app.add_subcommand("other");
  std::vector<std::string> pairs;
  std::string one;
  verb->add_option("-x,--pair-of-test", pairs);
  verb->add_option("--single-of-test", one);
  using Words = std::vector<std::string>;
  const nlohmann::json settings{{"pair-of-test", {"a=1,2", "b"}}};
  const auto with = [&](Words words) {
    append_lists(app, settings, "config.toml", words);
    return words;
  };
  const Words both{"--pair-of-test=a=1,2", "--pair-of-test=b"};
  EXPECT_EQ(with({"verb"}), (Words{"verb", both[0], both[1]}));
  EXPECT_EQ(with({"verb", "--", "x"}), (Words{"verb", both[0], both[1], "--", "x"}));
  for (const Words& given : {Words{"verb", "-xc"}, Words{"verb", "--pair-of-test", "c"}, Words{"other"}})
    EXPECT_EQ(with(given), given);
  ::setenv("KILN_PAIR_OF_TEST", "c", 1);
  EXPECT_EQ(with({"verb"}), Words{"verb"});
  ::unsetenv("KILN_PAIR_OF_TEST");
  Words words{"verb"};
  EXPECT_THROW(append_lists(app, {{"single-of-test", {"a"}}}, "config.toml", words), Error);
}

TEST(OptionsTest, AProjectDoesNotWidenItsOwnRights) {
  const TempDir dir;
  const fs::path file = dir.path() / "config.toml";
  write_file(file, "jobs = 3\n[images]\nx = \"y\"\n");
  EXPECT_TRUE(load_project_settings(file).contains("images"));
  EXPECT_STREQ(std::getenv("KILN_JOBS"), "3");
  ::unsetenv("KILN_JOBS");
  for (const char* refused :
       {"allow-host = true", "root = \"/\"", "sandbox = \"runc\"", "server = \"x\"", "workspace = \"w=/\"",
        "tls-key = \"k\"", "[registry]\nhtpasswd = \"\"", "network = \"host\"", "allow-host-path = \"/\""}) {
    write_file(file, refused);
    EXPECT_THROW(load_project_settings(file), Error) << refused;
  }
  EXPECT_EQ(std::getenv("KILN_ALLOW_HOST"), nullptr);
}

TEST(OptionsTest, TheRootIsKnownBeforeOptionsAre) {
  EXPECT_EQ(root_of({"run", "--root", "/a"}), "/a");
  EXPECT_EQ(root_of({"--root=/b", "run"}), "/b");
  ::setenv("KILN_ROOT", "/environment", 1);
  EXPECT_EQ(root_of({"run", "--", "--root=/b"}), "/environment");
  ::unsetenv("KILN_ROOT");
  EXPECT_EQ(root_of({"run"}), std::nullopt);
}

TEST(OptionsTest, ImageAliasesComeFromATableOfTheFile) {
  const TempDir dir;
  const fs::path file = dir.path() / "config.toml";
  write_file(file, "[images]\n\"registry.example/ubuntu\" = \"kiln/build\"\n");
  registry::ImageAliases aliases;
  add_image_aliases(aliases, load_settings(file), file);
  EXPECT_TRUE(aliases.resolve(registry::Reference::parse("registry.example/ubuntu:22.04")).is_local());
  for (const char* bad : {"images = 1", "[images]\nx = 2", "[images]\n\"A B\" = \"x\""}) {
    write_file(file, bad);
    EXPECT_THROW(add_image_aliases(aliases, load_settings(file), file), Error) << bad;
  }
}

TEST(TerminalTest, TablesPadByCharactersNotBytes) {
  EXPECT_EQ(table({{"ä", "x"}, {"bb", "y"}}), "ä   x\nbb  y\n");
}

TEST(YamlJsonTest, TypesScalarsAsKubernetesDoes) {
  const auto json = yaml_to_json("a: 1\nb: '1'\nc: true\nd: 1.5\ne: [x, null]\nf: ~\n", "f");
  EXPECT_EQ(json, nlohmann::json::parse(R"({"a":1,"b":"1","c":true,"d":1.5,"e":["x",null],"f":null})"));
}

TEST(YamlJsonTest, NamesThePlaceOfAMistake) {
  try {
    yaml_to_json("a: [1\nb: 2\n", "service.yaml");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Invalid);
    EXPECT_THAT(error.message(), testing::HasSubstr("service.yaml:"));
  }
  EXPECT_THROW(yaml_to_json("a: 1\n---\nb: 2\n", "two"), Error);
}

}  // namespace
}  // namespace kiln::cli
