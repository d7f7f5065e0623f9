#include "executor/folder_watch.h"

#include <gtest/gtest.h>
#include <thread>

#include "base/error.h"
#include "base/fs.h"

namespace kiln::executor {
namespace {

TEST(FolderWatch, SeesWhatIsThereAlready) {
  const TempDir folder;
  write_file(folder.path() / "a", "");
  EXPECT_TRUE(FolderWatch(folder.path()).wait_for("a", {}));
}

TEST(FolderWatch, SeesWhatAnotherPutsThere) {
  const TempDir folder;
  FolderWatch watch(folder.path());
  const std::jthread writer([&] {
    write_file(folder.path() / "other", "");
    write_file_atomic(folder.path() / "a", "words");
  });
  EXPECT_TRUE(watch.wait_for("a", {}));
  EXPECT_EQ(read_file(folder.path() / "a"), "words");
}

TEST(FolderWatch, EndsWhenStopped) {
  const TempDir folder;
  FolderWatch watch(folder.path());
  std::stop_source stop;
  const std::jthread stopper([&] { stop.request_stop(); });
  EXPECT_FALSE(watch.wait_for("never", stop.get_token()));
}

TEST(FolderWatch, AMissingFolderIsAnError) {
  EXPECT_THROW(FolderWatch("/nowhere/at/all"), Error);
}

}  // namespace
}  // namespace kiln::executor
