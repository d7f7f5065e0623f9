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
  const PrivateFolder made(Dirs::under(root.path()), run, "test-" + root.path().filename().string());
  const fs::path folder = made.path();
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

TEST(PrivateFolder, OfAKilnThatDiedGoesWithTheNextOne) {
  const TempDir root;
  const Dirs dirs = Dirs::under(root.path());
  const std::string uid = "test-" + root.path().filename().string();
  const fs::path run = root.path() / "run", shell = root.path() / "run/shell-1";
  make_dirs(shell, 0700);
  PrivateFolder of_run(dirs, run, uid), living(dirs, root.path(), uid + "-living");
  if (of_run.path() == run / "private") GTEST_SKIP() << "no memory for files here";
  auto of_shell = std::make_optional<PrivateFolder>(dirs, shell, uid + "-shell");
  for (const PrivateFolder* one : {&of_run, &living, &*of_shell}) write_file(one->path() / "key", "x", 0600);
  const fs::path lost_run = of_run.path(), lost_shell = of_shell->path();
  const fs::path half_removed = lost_run.parent_path() / (uid + "-half-removed");
  make_dirs(half_removed, 0700);
  write_file(half_removed / "key", "x", 0600);
  of_shell.reset();  // as the end of its process does: nobody removes it, but the lock is free
  of_run = PrivateFolder();

  const fs::path other = root.path() / "other";
  make_dirs(other, 0700);
  const PrivateFolder next(dirs, other, uid + "-next");
  EXPECT_FALSE(fs::exists(lost_run));
  EXPECT_FALSE(fs::exists(lost_shell));
  EXPECT_FALSE(fs::exists(half_removed)) << "by a kiln that died while it did";
  EXPECT_FALSE(fs::exists(shell));
  EXPECT_TRUE(fs::exists(run)) << "a run's own folder is kept";
  EXPECT_TRUE(fs::exists(living.path() / "key"));
  remove_private_folder(other);
  remove_private_folder(root.path());
}

}  // namespace
}  // namespace kiln::executor
