#include "executor/private_folder.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/fs.h"

namespace kiln::executor {
namespace {

TEST(PrivateFolder, IsFoundAgainAndRemovedAfterACrash) {
  const TempDir root;
  const fs::path run = root.path() / "run";
  make_dirs(run, 0700);
  const fs::path folder =
      private_folder(Dirs::under(root.path()), run, "test-" + root.path().filename().string());
  make_dirs(folder / "pod/creds", 0700);
  write_file(folder / "pod/creds/key", "x", 0600);
  EXPECT_TRUE(fs::exists(run / "private/pod/creds/key"));  // by the link, or because it is the folder
  struct stat st;
  ASSERT_EQ(::stat(folder.parent_path().c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0077, 0u) << folder.parent_path();

  remove_private_folder(run);
  EXPECT_FALSE(fs::exists(folder));
  EXPECT_TRUE(fs::is_empty(run));
  EXPECT_NO_THROW(remove_private_folder(run));
}

}  // namespace
}  // namespace kiln::executor
