#include "executor/folder_content.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/fs.h"

namespace kiln::executor {
namespace {

using testing::ElementsAre;
using testing::Key;

class FolderContentTest : public testing::Test {
 protected:
  void SetUp() override {
    make_dirs(a());
    make_dirs(b());
  }
  fs::path a() const { return folder_.path() / "a"; }
  fs::path b() const { return folder_.path() / "b"; }
  fs::path saved() const { return folder_.path() / "saved"; }

 private:
  TempDir folder_;
};

TEST_F(FolderContentTest, IsWhatIsThereAndNotWhenOrWhose) {
  write_file(a() / "x", "1");
  write_file(b() / "x", "1");
  EXPECT_EQ(digest_of(read_content(a())), digest_of(read_content(b())));
  ::chmod((b() / "x").c_str(), 0755);
  EXPECT_NE(digest_of(read_content(a())), digest_of(read_content(b()))) << "a mode counts";
  EXPECT_EQ(digest_of(read_content(a() / "missing")), digest_of({}));
}

TEST_F(FolderContentTest, AFileMovedIntoAFolderIsAnotherContent) {
  write_file(a() / "x", "1");
  make_dirs(a() / "d");
  make_dirs(b() / "d");
  write_file(b() / "d/x", "1");
  EXPECT_NE(digest_of(read_content(a())), digest_of(read_content(b())));
}

TEST_F(FolderContentTest, ChangesMakeTheSameOfTheSame) {
  for (const fs::path& folder : {a(), b()}) {
    write_file(folder / "stays", "s");
    write_file(folder / "goes", "g");
    make_dirs(folder / "old/deep");
    write_file(folder / "old/deep/file", "f");
    write_file(folder / "becomes-a-folder", "x");
    make_dirs(folder / "becomes-a-link");
  }
  const FolderContent before = read_content(a());
  fs::remove(a() / "goes");
  fs::remove_all(a() / "old");
  fs::remove(a() / "becomes-a-folder");
  make_dirs(a() / "becomes-a-folder/with");
  write_file(a() / "becomes-a-folder/with/file", std::string(1 << 20, 'z'));
  fs::remove_all(a() / "becomes-a-link");
  fs::create_symlink("stays", a() / "becomes-a-link");
  ::chmod((a() / "stays").c_str(), 0700);
  const FolderContent after = read_content(a());
  const FolderChanges found = changes(before, after);
  EXPECT_THAT(found.removed, ElementsAre("goes", "old", "old/deep", "old/deep/file"));
  EXPECT_THAT(found.written,
              ElementsAre(Key("becomes-a-folder"), Key("becomes-a-folder/with"),
                          Key("becomes-a-folder/with/file"), Key("becomes-a-link"), Key("stays")));
  save_files(a(), found.written, saved());
  make_changes(found, saved(), b());
  EXPECT_EQ(read_content(b()), after);
}

TEST_F(FolderContentTest, NoLinkIsFollowed) {
  write_file(a() / "x", "1");
  const FolderContent before = read_content(b());
  make_dirs(b() / "d");
  write_file(b() / "d/x", "1");
  const FolderChanges found = changes(before, read_content(b()));
  save_files(b(), found.written, saved());
  // Somebody exchanged the folder for a link since: it is replaced, what it leads to stays as it is.
  fs::remove_all(b() / "d");
  fs::create_symlink(a(), b() / "d");
  write_file(a() / "x", "mine");
  make_changes(found, saved(), b());
  EXPECT_EQ(read_file(a() / "x"), "mine");
  EXPECT_EQ(read_file(b() / "d/x"), "1");
  fs::create_symlink("/", a() / "root");
  EXPECT_EQ(read_content(a()).at("root").text, "/");
}

TEST_F(FolderContentTest, HasLimits) {
  write_file(a() / "x", "12345");
  write_file(a() / "y", "12345");
  EXPECT_THROW(read_content(a(), {.entries = 1}), Error);
  EXPECT_THROW(read_content(a(), {.bytes = 9}), Error);
  EXPECT_EQ(read_content(a(), {.entries = 2, .bytes = 10}).size(), 2u);
}

}  // namespace
}  // namespace kiln::executor
