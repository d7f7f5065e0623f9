#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/fs.h"

namespace kiln {
namespace {

TEST(RemoveTreeTest, RemovingATreeFollowsNoLinkAndCopesWithClosedFolders) {
  const TempDir dir;
  const fs::path outside = dir.path() / "outside", tree = dir.path() / "tree";
  make_dirs(outside);
  write_file(outside / "kept", "x");
  make_dirs(tree / "a/b/c");
  write_file(tree / "a/b/f", "x");
  fs::create_directory_symlink(outside, tree / "a/link");
  ::chmod((tree / "a/b").c_str(), 0500);
  remove_tree(tree);
  EXPECT_FALSE(fs::exists(tree));
  EXPECT_TRUE(fs::exists(outside / "kept"));
  remove_tree(tree);  // what is gone is no error
}

TEST(RemoveTreeTest, RemovingALinkLeavesItsTarget) {
  const TempDir dir;
  make_dirs(dir.path() / "target");
  fs::create_directory_symlink(dir.path() / "target", dir.path() / "link");
  remove_tree(dir.path() / "link");
  EXPECT_TRUE(fs::exists(dir.path() / "target"));
}

// Folders in folders, in each of them a file and another folder that is not empty.
void nest(const fs::path& top, int depth) {
  UniqueFd at = open_file(top, O_RDONLY | O_DIRECTORY);
  for (int i = 0; i < depth; ++i) {
    ASSERT_EQ(::mkdirat(at.get(), "beside", 0700), 0);
    for (const char* file : {"file", "beside/file"})
      ASSERT_TRUE(UniqueFd(::openat(at.get(), file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)));
    ASSERT_EQ(::mkdirat(at.get(), "below", 0700), 0);
    at = UniqueFd(::openat(at.get(), "below", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ASSERT_TRUE(at);
  }
}

TEST(RemoveTreeTest, GoesDeeperThanThisProcessMayOpenFoldersOrAPathMayBeLong) {
  const TempDir dir;
  rlimit before;
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit few = before;
  few.rlim_cur = 200;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  const OnExit restore([&] { ::setrlimit(RLIMIT_NOFILE, &before); });
  const fs::path tree = dir.path() / "tree";
  make_dirs(tree);
  nest(tree, 1500);
  remove_tree(tree);
  EXPECT_FALSE(fs::exists(tree));
}

TEST(RemoveTreeTest, WhereNothingMayBeThrownItSaysWhetherItIsDone) {
  const TempDir dir;
  make_dirs(dir.path() / "a/b");
  EXPECT_TRUE(try_remove_tree(dir.path() / "a"));
  EXPECT_TRUE(try_remove_tree(dir.path() / "a"));
  EXPECT_FALSE(try_remove_tree("/proc/self"));
}

}  // namespace
}  // namespace kiln
