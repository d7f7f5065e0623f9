#include "builders/tree_entries.h"

#include <atomic>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/open_folder.h"
#include "base/process.h"
#include "tests/unit/builders/tar_reader.h"

namespace kiln::builders {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Kind = TarEntry::Kind;

template <class Fill>
std::string tar_of(const Fill& fill) {
  std::string bytes;
  TarWriter tar([&](std::string_view piece) { bytes += piece; });
  fill(tar);
  tar.finish();
  return bytes;
}

void add_text(TarWriter& tar, const std::string& name, std::string_view text) {
  tar.entry({.name = name, .size = text.size()});
  tar.content(text);
}

std::string tree_tar(const fs::path& folder, const TreeOptions& options = {}) {
  return tar_of([&](TarWriter& tar) { add_tree(tar, OpenFolder(folder), options); });
}

TEST(TarWriter, APlainEntryIsPlainUstar) {
  const std::string tar = tar_of([](TarWriter& t) { add_text(t, "usr/bin/env", "hello"); });
  ASSERT_EQ(tar.size(), 512u + 512u + 1024u);  // header, padded content, two zero blocks
  EXPECT_EQ(tar[156], '0');
  EXPECT_EQ(tar.substr(257, 8), std::string("ustar\0"
                                            "00",
                                            8));
  EXPECT_EQ(tar.substr(512, 6), std::string("hello\0", 6));
}

TEST(TarWriter, ContentThatFillsItsBlockIsNotPadded) {
  const std::string tar = tar_of([](TarWriter& t) {
    add_text(t, "full", std::string(1024, 'x'));
    add_text(t, "next", "y");
  });
  EXPECT_EQ(tar.substr(512 + 1024, 4), "next");
  EXPECT_EQ(read_tar(tar).at(1).content, "y");
}

TEST(TarWriter, LongNamesAreSplitAtASlashWhenTheyCanBeElsePax) {
  const std::string splits = std::string(120, 'a') + "/" + std::string(100, 'b');
  const std::string cannot = std::string(101, 'c');
  const std::string longer = std::string(200, 'd') + "/" + std::string(200, 'e');
  EXPECT_EQ(tar_of([&](TarWriter& t) { add_text(t, splits, "1"); }).size(), 2048u);
  EXPECT_EQ(tar_of([&](TarWriter& t) { add_text(t, cannot, "1"); })[156], 'x');
  const auto entries = read_tar(tar_of([&](TarWriter& t) {
    for (const std::string& name : {splits, cannot, longer}) add_text(t, name, "content");
  }));
  EXPECT_THAT(names_of(entries), ElementsAre(splits, cannot, longer));
  EXPECT_EQ(entries.at(2).content, "content");
}

TEST(TarWriter, NamesOfEveryLengthSurvive) {
  std::vector<std::string> names;
  for (size_t length = 90; length < 270; ++length) {
    std::string name(length, 'n');
    for (size_t i = 0; i < length; i += 37) name[i] = '/';
    if (name.back() == '/') name.back() = 'z';
    names.push_back(name);
  }
  const auto entries = read_tar(tar_of([&](TarWriter& t) {
    for (const std::string& name : names) t.entry({.name = name});
  }));
  EXPECT_EQ(names_of(entries), names);
}

TEST(TarWriter, LinksBigNumbersAndAttributesSurvive) {
  const std::string target(150, 't');
  const auto entries = read_tar(tar_of([&](TarWriter& t) {
    add_text(t, "file", "x");
    t.entry({.kind = Kind::Hardlink, .name = "hard", .link = "file"});
    t.entry({.kind = Kind::Symlink, .name = "soft", .link = target, .mode = 0777});
    t.entry({.name = "owned", .uid = 1'000'000'000, .gid = 3'000'000'000});
    t.entry({.name = "old", .mtime = -5});
    t.entry({.name = "capable", .xattrs = {{"security.capability", std::string("\1\0\n=", 4)}}});
    t.entry({.kind = Kind::Folder, .name = "folder", .mode = 01777});
    t.entry({.kind = Kind::Fifo, .name = "fifo"});
  }));
  EXPECT_EQ(entries.at(1).hardlink, "file");
  EXPECT_EQ(entries.at(2).link, target);
  EXPECT_EQ(entries.at(3).uid, 1'000'000'000);
  EXPECT_EQ(entries.at(3).gid, 3'000'000'000);
  EXPECT_EQ(entries.at(4).mtime, -5);
  EXPECT_EQ(entries.at(5).xattrs.at("security.capability"), std::string("\1\0\n=", 4));
  EXPECT_EQ(entries.at(6).mode, 01777u);
  EXPECT_EQ(entries.at(7).type, unsigned{AE_IFIFO});
}

TEST(TarWriter, GnuTarReadsWhatItWrites) {
  if (!find_program("tar")) GTEST_SKIP() << "tar is not installed";
  const std::string name = std::string(150, 'l') + "/" + std::string(150, 'm');
  TempDir folder;
  write_file(folder.path() / "x.tar", tar_of([&](TarWriter& t) {
               add_text(t, name, std::string(3000, 'z'));
               t.entry({.kind = Kind::Symlink, .name = "soft", .link = std::string(120, 's')});
               t.entry({.kind = Kind::Hardlink, .name = "hard", .link = name});
             }));
  const Finished finished =
      run({.argv = {"tar", "-xf", "x.tar"}, .environment = {}, .directory = folder.path(), .input = {}});
  ASSERT_TRUE(finished.ok()) << finished.errors;
  EXPECT_EQ(finished.errors, "");
  EXPECT_EQ(read_file(folder.path() / "hard"), std::string(3000, 'z'));
  EXPECT_EQ(fs::read_symlink(folder.path() / "soft").string(), std::string(120, 's'));
}

TEST(TarWriter, MisuseAndShrinkingFilesAreErrors) {
  TempDir folder;
  write_file(folder.path() / "f", "12345");
  std::string out;
  TarWriter tar([&](std::string_view piece) { out += piece; });
  const UniqueFd fd = open_file(folder.path() / "f", O_RDONLY);
  EXPECT_THROW(tar.file({.name = "f", .size = 10}, fd.get()), Error);
  TarWriter other([&](std::string_view) {});
  other.entry({.name = "a", .size = 2});
  EXPECT_THROW(other.content("123"), Error);
  EXPECT_THROW(other.entry({.name = "b"}), Error);
}

TEST(AddTree, IsSortedWithFixedOwnersAndTimes) {
  TempDir folder;
  for (const char* name : {"b", "a", "c/x", "c.d", "c/sub/y"}) {
    make_dirs((folder.path() / name).parent_path());
    write_file(folder.path() / name, name);
  }
  fs::create_symlink("/etc/passwd", folder.path() / "link");
  fs::create_hard_link(folder.path() / "a", folder.path() / "hard");
  ::chmod((folder.path() / "a").c_str(), 0750);
  const auto entries = read_tar(tree_tar(folder.path(), {.prefix = "/layers/x", .uid = 1000, .gid = 1001}));
  EXPECT_THAT(names_of(entries), ElementsAre("/layers/x", "/layers/x/a", "/layers/x/b", "/layers/x/c",
                                             "/layers/x/c/sub", "/layers/x/c/sub/y", "/layers/x/c/x",
                                             "/layers/x/c.d", "/layers/x/hard", "/layers/x/link"));
  for (const ReadEntry& entry : entries) {
    EXPECT_EQ(entry.uid, 1000);
    EXPECT_EQ(entry.gid, 1001);
    EXPECT_EQ(entry.mtime, 315532801);
  }
  EXPECT_EQ(entries.at(1).mode, 0750u);
  EXPECT_EQ(entries.at(8).hardlink, "");
  EXPECT_EQ(entries.at(8).content, "a");
  EXPECT_EQ(entries.at(9).link, "/etc/passwd");
}

TEST(AddTree, TwoFoldersWithTheSameFilesGiveTheSameBytes) {
  TempDir one, two;
  const std::vector<std::string> names{"m", "z", "a", "k/l", "k/a"};
  for (const std::string& name : names) {
    make_dirs((one.path() / name).parent_path());
    write_file(one.path() / name, name);
  }
  for (auto name = names.rbegin(); name != names.rend(); ++name) {
    make_dirs((two.path() / *name).parent_path());
    write_file(two.path() / *name, *name);
  }
  ::chmod(one.path().c_str(), 0755);
  ::chmod(two.path().c_str(), 0755);
  EXPECT_EQ(tree_tar(one.path(), {.prefix = "/p"}), tree_tar(two.path(), {.prefix = "/p"}));
}

TEST(AddTree, SocketsAndPipesAreLeftOut) {
  TempDir folder;
  write_file(folder.path() / "file", "x");
  ASSERT_EQ(::mkfifo((folder.path() / "pipe").c_str(), 0600), 0);
  const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  (folder.path() / "socket").string().copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  EXPECT_THAT(names_of(read_tar(tree_tar(folder.path()))), ElementsAre("file"));
}

TEST(AddTree, AFolderThatIsALinkIsRefused) {
  TempDir folder;
  fs::create_directory_symlink("/etc", folder.path() / "layer");
  EXPECT_THROW(tree_tar(folder.path() / "layer"), Error);
}

TEST(AddTree, AFolderThatNestsTooDeeplyIsRefused) {
  TempDir folder;
  fs::path deep = folder.path();
  for (int i = 0; i < OpenFolder::kMaxDepth + 1; ++i) make_dirs(deep /= "d");
  try {
    tree_tar(folder.path());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Failed);
    EXPECT_THAT(error.message(), HasSubstr("nests more than 400 folders"));
  }
}

// While the tree is read, somebody exchanges one of its folders for a link to a secret, over and over.
TEST(AddTree, ARacingRenameLeadsNowhereElse) {
  TempDir folder;
  const fs::path tree = folder.path() / "tree";
  make_dirs(folder.path() / "secret");
  write_file(folder.path() / "secret" / "key", "SECRET");
  make_dirs(tree / "a");
  write_file(tree / "a" / "key", "public");
  fs::create_directory_symlink(folder.path() / "secret", tree / "b");
  std::atomic<bool> done = false;
  std::jthread racer([&] {
    while (!done)
      ::renameat2(AT_FDCWD, (tree / "a").c_str(), AT_FDCWD, (tree / "b").c_str(), RENAME_EXCHANGE);
  });
  for (int i = 0; i < 2000; ++i) {
    std::string bytes;
    TarWriter tar([&](std::string_view piece) { bytes += piece; });
    try {
      add_tree(tar, OpenFolder(tree), {});
    } catch (const Error&) {  // noticed: as good
    }
    ASSERT_EQ(bytes.find("SECRET"), std::string::npos);
  }
  done = true;
}

TEST(AddParents, NamesEveryFolderAbove) {
  const auto entries = read_tar(tar_of([](TarWriter& t) { add_parents(t, "/layers/kiln_node/modules"); }));
  EXPECT_THAT(names_of(entries), ElementsAre("/layers", "/layers/kiln_node"));
  EXPECT_EQ(entries.at(0).uid, 0);
}

}  // namespace
}  // namespace kiln::builders
