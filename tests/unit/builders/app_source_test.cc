#include "builders/app_source.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/open_folder.h"

namespace kiln::builders {
namespace {

using testing::ElementsAre;

class AppSourceTest : public testing::Test {
 protected:
  fs::path source() const { return dir_.path() / "source"; }
  fs::path target() const { return dir_.path() / "target"; }
  fs::path dir_link() const { return dir_.path() / "link"; }
  void file(const std::string& name, const std::string& content = "x") {
    make_dirs((source() / name).parent_path());
    write_file(source() / name, content);
  }
  void copy() { copy_source(source(), target(), ::geteuid(), ::getegid()); }
  std::string fingerprint() const { return stat_fingerprint(OpenFolder(source())); }

 private:
  TempDir dir_;
};

unsigned mode_of(const fs::path& path) {
  struct stat st {};
  ::lstat(path.c_str(), &st);
  return st.st_mode & 07777;
}

TEST_F(AppSourceTest, CopiesAllButGitsOwnFolder) {
  file(".git/index");
  file("sub/.git/config");  // another repository's files are files
  file(".gitignore");
  file("sub/deep/f", "deep");
  file("empty", "");
  make_dirs(source() / "folder");
  copy();
  EXPECT_THAT(OpenFolder(target()).names(), ElementsAre(".gitignore", "empty", "folder", "sub"));
  EXPECT_TRUE(fs::exists(target() / "sub/.git/config"));
  EXPECT_EQ(read_file(target() / "sub/deep/f"), "deep");
  EXPECT_EQ(read_file(target() / "empty"), "");
}

TEST_F(AppSourceTest, KeepsModesButNoneThatGivePower) {
  file("run");
  file("secret");
  make_dirs(source() / "folder");
  ::chmod((source() / "run").c_str(), 04755);
  ::chmod((source() / "secret").c_str(), 0600);
  ::chmod((source() / "folder").c_str(), 0555);
  const mode_t before = ::umask(077);
  copy();
  ::umask(before);
  EXPECT_EQ(mode_of(target() / "run"), 0755u);
  EXPECT_EQ(mode_of(target() / "secret"), 0600u);
  EXPECT_EQ(mode_of(target() / "folder"), 0755u);  // always to be written to by its owner
}

TEST_F(AppSourceTest, LinksStayLinksAndSpecialFilesStayBehind) {
  file("f");
  fs::create_symlink("/does/not/exist", source() / "dangling");
  fs::create_symlink("f", source() / "link");
  ASSERT_EQ(::mkfifo((source() / "pipe").c_str(), 0600), 0);
  copy();
  EXPECT_THAT(OpenFolder(target()).names(), ElementsAre("dangling", "f", "link"));
  EXPECT_EQ(fs::read_symlink(target() / "dangling"), "/does/not/exist");
}

TEST_F(AppSourceTest, GivesAllToTheBuildUser) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give files away";
  file("sub/f");
  copy_source(source(), target(), 1000, 1001);
  for (const char* name : {"", "sub", "sub/f"}) {
    struct stat st {};
    ASSERT_EQ(::lstat((target() / name).c_str(), &st), 0);
    EXPECT_EQ(st.st_uid, 1000u);
    EXPECT_EQ(st.st_gid, 1001u);
  }
}

TEST_F(AppSourceTest, CopiesBetweenFileSystems) {
  file("f", std::string(300'000, 'y'));
  struct stat here {
  }, there{};
  if (::stat(source().c_str(), &here) != 0 || ::stat("/dev/shm", &there) != 0 || here.st_dev == there.st_dev)
    GTEST_SKIP() << "no second file system to copy to";
  TempDir other("/dev/shm");
  copy_source(source(), other.path() / "app", ::geteuid(), ::getegid());
  EXPECT_EQ(read_file(other.path() / "app" / "f"), std::string(300'000, 'y'));
}

TEST_F(AppSourceTest, ALinkToTheFolderIsTheFolder) {
  file("f");
  fs::create_directory_symlink(source(), dir_link());
  copy_source(dir_link(), target(), ::geteuid(), ::getegid());
  EXPECT_TRUE(fs::exists(target() / "f"));
}

TEST_F(AppSourceTest, WhatIsNoFolderIsAUsageError) {
  try {
    copy();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Usage);
  }
}

TEST_F(AppSourceTest, TheFingerprintStaysWhenNothingIsTouched) {
  file("a/b");
  EXPECT_EQ(fingerprint(), fingerprint());
}

TEST_F(AppSourceTest, TheFingerprintSeesEachKindOfChange) {
  file("a/f");
  file("a/g");
  fs::create_symlink("f", source() / "a/link");
  std::vector<std::string> seen{fingerprint()};
  const auto changed = [&](const char* what) {
    const std::string now = fingerprint();
    for (const std::string& earlier : seen) EXPECT_NE(now, earlier) << what;
    seen.push_back(now);
  };
  write_file(source() / "a/f", "longer");
  changed("content");
  ::chmod((source() / "a/f").c_str(), 0600);
  changed("mode");
  const timespec times[2] = {{1, 0}, {1, 500}};
  ::utimensat(AT_FDCWD, (source() / "a/f").c_str(), times, 0);
  changed("time, by nanoseconds");
  fs::rename(source() / "a/f", source() / "a/h");
  changed("name");
  fs::rename(source() / "a/h", source() / "h");
  changed("one folder up");
  fs::remove(source() / "a/link");
  fs::create_symlink("h", source() / "a/link");
  changed("a link's target");
  fs::remove(source() / "a/g");
  changed("removal");
  ::chmod(source().c_str(), 0700);
  changed("the folder's own mode");
}

}  // namespace
}  // namespace kiln::builders
