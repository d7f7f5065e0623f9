#include "cli/lines.h"

#include <gtest/gtest.h>
#include <vector>

namespace kiln::cli {
namespace {

class LinesTest : public ::testing::Test {
 protected:
  void feed(std::string_view bytes) {
    for_each_line(partial, bytes, [&](std::string_view line, bool broken) {
      lines.push_back(std::string(line) + (broken ? "$" : ""));
    });
  }
  std::string partial;
  std::vector<std::string> lines;
};

TEST_F(LinesTest, AreWholeHoweverTheirBytesCome) {
  for (const char* bytes : {"on", "e\ntwo\n\nth", "ree", "\n"}) feed(bytes);
  EXPECT_EQ(lines, (std::vector<std::string>{"one$", "two$", "$", "three$"}));
  EXPECT_EQ(partial, "");
  feed("rest");
  EXPECT_EQ(partial, "rest");
}

TEST_F(LinesTest, OneThatNeverEndsComesInParts) {
  const std::string part(kLongestLine / 2, 'x');
  feed(part);
  EXPECT_TRUE(lines.empty());
  feed(part);
  feed("y\n");
  EXPECT_EQ(lines, (std::vector<std::string>{part + part, "y$"}));
}

}  // namespace
}  // namespace kiln::cli
