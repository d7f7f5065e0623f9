#include "cli/log_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/fs.h"
#include "cli/run_summary.h"
#include "cli/yaml_json.h"
#include "cli/yaml_text.h"

namespace kiln::cli {
namespace {

using testing::ElementsAre;

class LogReaderTest : public ::testing::Test {
 protected:
  std::vector<std::string> lines(LogReader& reader, bool to_end) {
    std::vector<std::string> out;
    reader.read([&](const LogReader::Line& line) { out.emplace_back(line.text); }, to_end);
    return out;
  }
  TempDir folder;
  fs::path file = folder.path() / "s.log";
};

TEST_F(LogReaderTest, GoesOnWhereItWas) {
  write_file(file, "one\ntwo\nthr");
  LogReader reader(file);
  EXPECT_THAT(lines(reader, false), ElementsAre("one", "two"));
  write_file(file, "one\ntwo\nthree\n\nfour");
  EXPECT_THAT(lines(reader, false), ElementsAre("three", ""));
  EXPECT_THAT(lines(reader, true), ElementsAre("four"));
  EXPECT_THAT(lines(reader, true), ElementsAre());
}

TEST_F(LogReaderTest, BeginsAtTheLastLines) {
  std::string text;
  for (int i = 0; i < 100000; ++i) text += "line " + std::to_string(i) + "\n";
  write_file(file, text);
  for (const char* end : {"", "rest"}) {
    write_file(file, text + end);
    LogReader reader(file);
    reader.skip_to_last(2);
    EXPECT_THAT(lines(reader, true),
                *end ? ElementsAre("line 99999", "rest") : ElementsAre("line 99998", "line 99999"));
  }
  LogReader all(file);
  all.skip_to_last(1000000);
  EXPECT_EQ(lines(all, false).size(), 100000u);
  LogReader none(file);
  none.skip_to_last(1);
  EXPECT_THAT(lines(none, true), ElementsAre("rest"));
}

TEST_F(LogReaderTest, KnowsWhenALineBeganAndFromWhere) {
  const Time start{std::chrono::hours(1000)};
  write_file(file, "out\nerr\n");
  executor::LogTimesWriter times(executor::times_file(file));
  times.note(0, false, start);
  times.note(4, true, start + std::chrono::seconds(2));
  LogReader reader(file);
  std::string seen;
  reader.read(
      [&](const LogReader::Line& line) {
        seen += std::string(line.text) + (line.stamp->is_stderr ? " 2 " : " 1 ") +
                format_rfc3339_nano(line.stamp->at) + "\n";
      },
      true);
  EXPECT_EQ(seen, "out 1 1970-02-11T16:00:00.000000000Z\nerr 2 1970-02-11T16:00:02.000000000Z\n");
}

TEST_F(LogReaderTest, TheLastLinesOfAFailureAreReadFromTheEnd) {
  write_file(file, std::string(1 << 20, 'x') + "\na\nb\nc\n");
  EXPECT_EQ(last_lines(file, 2), "b\nc\n");
  EXPECT_EQ(last_lines(folder.path() / "none.log", 2), "");
}

TEST(YamlTextTest, IsReadBackAsTheSameDocument) {
  const nlohmann::json document = {
      {"text", "plain"},
      {"like",
       {"yes", "No", "1", "1.5", "0x1f", "null", "~", "", " x", "a: b", "# c", "- d", "2026-11-21", "1e3",
        "日本"}},
      {"lines", {"a\nb\n", "a\nb", "a\n\n", "\na", " a\nb", "a \nb", "tab\there\n", "\x7f", "quote\"\n'"}},
      {"empty", {{"list", nlohmann::json::array()}, {"object", nlohmann::json::object()}, {"null", nullptr}}},
      {"deep",
       {{{"a", 1}, {"b", {1, {2, 3}}}}, {{"c", true}}, nlohmann::json::array({nlohmann::json::array({1})})}},
      {"key: odd", {{"on", -1.5}}}};
  const std::string text = to_yaml(document);
  EXPECT_EQ(yaml_to_json(text, "x.yaml"), document) << text;
}

TEST(YamlTextTest, ReadsLikeWhatPeopleWrite) {
  EXPECT_EQ(to_yaml({{"kind", "Task"}, {"spec", {{"steps", {{{"name", "a"}, {"script", "echo\nls\n"}}}}}}}),
            "kind: Task\nspec:\n  steps:\n  - name: a\n    script: |\n      echo\n      ls\n");
}

}  // namespace
}  // namespace kiln::cli
