#include "cli/task_words.h"

#include <gtest/gtest.h>

namespace kiln::cli {
namespace {

TEST(SkippedWords, AlwaysSayWhy) {
  EXPECT_EQ(skipped_words("f", executor::skip::kNone), "– f  skipped: never had its turn");
  EXPECT_EQ(skipped_words("m-3", ""), "– m-3  skipped: another TaskRun of its matrix has failed");
  EXPECT_EQ(skipped_words("t", executor::skip::kWhen), "– t  skipped: When Expressions evaluated to false");
}

}  // namespace
}  // namespace kiln::cli
