#include "cli/live_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/display.h"
#include "cli/plain_printer.h"

namespace kiln::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const Time kStart{std::chrono::hours(1000)};

Time after(int seconds) {
  return kStart + std::chrono::seconds(seconds);
}

LiveList list_of(std::vector<std::string> labels) {
  LiveList list{.run = "demo-run-x", .started = kStart, .tasks = 9, .ended = 2, .failed = 0, .running = {}};
  for (std::string& label : labels) {
    LiveList::Task task;
    task.label = std::move(label);
    task.step = "compile";
    task.started = after(5);
    list.running.push_back(std::move(task));
  }
  return list;
}

TEST(DisplayTest, CountsColumnsNotBytes) {
  EXPECT_EQ(columns_of("abc"), 3u);
  EXPECT_EQ(columns_of("日本"), 4u);
  EXPECT_EQ(columns_of("e\u0301"), 1u) << "a combining accent takes none";
  EXPECT_EQ(columns_of("a\xff"), 2u) << "what is no UTF-8 is shown as one replacement";
}

TEST(DisplayTest, CutsBetweenCharacters) {
  EXPECT_EQ(fit("abcdef", 6), "abcdef");
  EXPECT_EQ(fit("abcdef", 4), "abc…");
  EXPECT_EQ(fit("日本語", 5), "日本…");
  EXPECT_EQ(fit("日本語", 4), "日…");
  EXPECT_EQ(fit("abc", 0), "");
}

TEST(DisplayTest, OutputCannotSteerTheTerminal) {
  EXPECT_EQ(printable("\033[31mred\033[0m \033]0;title\abell\a\b"), "red bell");
  EXPECT_EQ(printable(" 10%\r 50%\r100%\r"), "100%");
  EXPECT_EQ(printable("a\tb"), "a       b");
  EXPECT_EQ(printable("open \033[12;"), "open ");
}

TEST(LiveListTest, ShowsTasksTheirStepsAndTheirLastLines) {
  LiveList list = list_of({"build"});
  add_output(list.running[0], "one\ntwo\nthr");
  add_output(list.running[0], "ee\nfour");
  EXPECT_THAT(draw(list, after(17), {60, 24}),
              ElementsAre("▶ build : compile  12 s", "  │ one", "  │ two", "  │ three", "  │ four",
                          "run demo-run-x  2/9 tasks  17 s"));
  list.failed = 1;
  EXPECT_THAT(draw(list, after(3725), {60, 24}).back(), HasSubstr("1 failed  1 h 2 min"));
}

TEST(LiveListTest, KeepsOnlyTheLastLinesOfMuchOutput) {
  LiveList list = list_of({"build"});
  std::string much;
  for (int i = 0; i < 10000; ++i) much += "line " + std::to_string(i) + "\n";
  add_output(list.running[0], much);
  EXPECT_EQ(list.running[0].tail.size(), LiveList::kTail);
  EXPECT_EQ(list.running[0].tail.back(), "line 9999");
  EXPECT_EQ(list.running[0].tail.front(), "line 9994");
  add_output(list.running[0], std::string(1 << 20, 'x'));
  EXPECT_LE(list.running[0].partial.size(), 4096u);
}

TEST(LiveListTest, FitsIntoWhateverSizeThereIs) {
  LiveList list = list_of({"a", "b", "a-task-with-a-very-long-name-that-does-not-fit", "日本語日本語日本語"});
  for (LiveList::Task& task : list.running) add_output(task, "some output\n日本語 日本語 日本語\n");
  for (size_t columns = 1; columns < 70; ++columns)
    for (size_t rows = 1; rows < 20; ++rows) {
      const auto lines = draw(list, after(100), {columns, rows});
      EXPECT_LT(lines.size(), rows);
      for (const std::string& line : lines) EXPECT_LE(columns_of(line), columns) << line;
    }
  EXPECT_THAT(draw(list, after(100), {40, 5}),
              ElementsAre("▶ a : compile  1 min 35 s", "▶ b : compile  1 min 35 s", "  and 2 more running",
                          "run demo-run-x  2/9 tasks  1 min 40 s"));
}

TEST(PlainPrinterTest, EveryLineGetsItsPrefixHoweverItWasCut) {
  std::string partial, out;
  prefix_lines("[t] ", "one\ntw", partial, out);
  prefix_lines("[t] ", "o\n\nthree", partial, out);
  EXPECT_EQ(out, "[t] one\n[t] two\n[t] \n");
  EXPECT_EQ(partial, "three");
  prefix_lines("[t] ", std::string(2 << 20, 'x'), partial, out);
  EXPECT_EQ(partial, "") << "a line without end is not kept in memory";
}

}  // namespace
}  // namespace kiln::cli
