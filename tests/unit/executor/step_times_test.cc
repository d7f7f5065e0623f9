#include "executor/step_times.h"

#include <gtest/gtest.h>

#include "base/fs.h"

namespace kiln::executor {
namespace {

using namespace std::chrono_literals;

class StepTimesTest : public ::testing::Test {
 protected:
  TempDir folder;
  fs::path file = times_file(folder.path() / "build.v1.log");
  Time start{std::chrono::hours(1000)};
};

TEST_F(StepTimesTest, StandsBesideItsLog) {
  EXPECT_EQ(file.filename(), "build.v1.times");
}

TEST_F(StepTimesTest, TellsWhenAndFromWhereEveryByteCame) {
  LogTimesWriter writer(file);
  writer.note(0, false, start);
  writer.note(10, false, start + 100us);  // together with the first
  writer.note(20, true, start + 200us);
  writer.note(30, false, start + 5s);
  LogTimesReader reader(file);
  EXPECT_EQ(reader.at(0)->at, start);
  EXPECT_EQ(reader.at(19)->at, start);
  EXPECT_FALSE(reader.at(19)->is_stderr);
  EXPECT_TRUE(reader.at(20)->is_stderr);
  EXPECT_EQ(reader.at(1000)->at, start + 5s);
  EXPECT_EQ(reader.at(5)->at, start) << "going back";
  writer.note(40, true, start + 6s);
  EXPECT_EQ(reader.at(41)->at, start + 6s) << "what came since";
}

TEST_F(StepTimesTest, ATornLastRecordIsIgnored) {
  {
    LogTimesWriter writer(file);
    writer.note(0, false, start);
    writer.note(10, true, start + 1s);
  }
  fs::resize_file(file, fs::file_size(file) - 3);
  EXPECT_EQ(LogTimesReader(file).at(50)->at, start);
  fs::resize_file(file, 9);
  EXPECT_FALSE(LogTimesReader(file).at(0));
}

TEST_F(StepTimesTest, AClockThatGoesBackIsBelieved) {
  LogTimesWriter writer(file);
  writer.note(0, false, start);
  writer.note(10, false, start - 1h);
  EXPECT_EQ(LogTimesReader(file).at(10)->at, start - 1h);
}

TEST_F(StepTimesTest, ALogOfAnOlderKilnHasNoTimes) {
  EXPECT_FALSE(LogTimesReader(folder.path() / "none.times").at(0));
}

}  // namespace
}  // namespace kiln::executor
