#include "builders/root_archive.h"

#include <functional>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/fs.h"
#include "tests/unit/builders/tar_reader.h"

namespace kiln::builders {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using Kind = TarEntry::Kind;

constexpr int64_t kPackage = 1'600'000'000;  // a package's own time
constexpr int64_t kMade = 1'800'000'000;     // when the root was made

// A root as mmdebstrap writes it: names with "./", folders with a slash at the end.
class Root {
 public:
  explicit Root(int64_t made = kMade) : made_(made) { folder(""); }
  Root& folder(const std::string& name, int64_t mtime = kPackage, uint32_t mode = 0755) {
    return entry({.kind = Kind::Folder, .name = name + "/", .mode = mode, .mtime = mtime});
  }
  Root& file(const std::string& name, const std::string& content = "x", int64_t mtime = kPackage) {
    entry({.name = name, .size = content.size(), .mtime = mtime});
    if (!content.empty()) tar_.content(content);
    return *this;
  }
  Root& hard(const std::string& name, const std::string& target) {
    return entry({.kind = Kind::Hardlink, .name = name, .link = "./" + target, .mtime = kPackage});
  }
  Root& soft(const std::string& name, const std::string& target) {
    return entry({.kind = Kind::Symlink, .name = name, .link = target, .mode = 0777, .mtime = kPackage});
  }
  Root& device(const std::string& name) {
    return entry(
        {.kind = Kind::CharDevice, .name = name, .mtime = kPackage, .device_major = 1, .device_minor = 3});
  }
  RootArchive archive() {
    tar_.finish();
    write_file(dir_.path() / "root.tar", bytes_);
    return RootArchive(dir_.path() / "root.tar", made_);
  }

 private:
  Root& entry(TarEntry entry) {
    entry.name = "./" + entry.name;
    tar_.entry(entry);
    return *this;
  }
  int64_t made_;
  TempDir dir_;
  std::string bytes_;
  TarWriter tar_{[this](std::string_view piece) { bytes_ += piece; }};
};

std::string tar_of(const std::function<void(TarWriter&)>& fill) {
  std::string bytes;
  TarWriter tar([&](std::string_view piece) { bytes += piece; });
  fill(tar);
  tar.finish();
  return bytes;
}

std::string whole(Root& root) {
  const RootArchive archive = root.archive();
  return tar_of([&](TarWriter& tar) { archive.write_all(tar); });
}

std::string difference_bytes(Root& root, Root& base) {
  const RootArchive after = root.archive(), before = base.archive();
  return tar_of([&](TarWriter& tar) { after.write_difference(tar, before); });
}

std::vector<std::string> difference(Root& root, Root& base) {
  return names_of(read_tar(difference_bytes(root, base)));
}

TEST(RootArchive, WritesEverythingButDevicesAndTheRootItself) {
  Root root;
  root.folder("dev")
      .device("dev/null")
      .folder("usr")
      .file("usr/a", "content")
      .hard("usr/b", "usr/a")
      .soft("bin", "usr/bin");
  const auto entries = read_tar(whole(root));
  EXPECT_THAT(names_of(entries), ElementsAre("dev", "usr", "usr/a", "usr/b", "bin"));
  EXPECT_EQ(entries.at(2).content, "content");
  EXPECT_EQ(entries.at(3).hardlink, "usr/a");
}

// What create_stack's reproducibility rests on: two runs at different times, the same packages.
TEST(RootArchive, TwoMakingsGiveTheSameBytes) {
  const auto make = [](int64_t now) {
    Root root(now);
    root.folder("etc", now + 5)
        .file("etc/machine-made", "same", now + 7)
        .file("etc/packaged", "x")
        .hard("etc/link", "etc/packaged");
    return whole(root);
  };
  const std::string first = make(kMade), second = make(kMade + 86'400);
  EXPECT_EQ(first, second);
  const auto entries = read_tar(first);
  EXPECT_EQ(entries.at(1).mtime, 315532801);  // made then: fixed
  EXPECT_EQ(entries.at(2).mtime, kPackage);   // a package's: kept
}

TEST(RootArchive, DifferencesOfTwoMakingsGiveTheSameBytes) {
  const auto make = [](int64_t now) {
    Root base(now), root(now);
    base.folder("etc", now).file("etc/both", "1", now).file("etc/gone", "1", now);
    root.folder("etc", now + 9).file("etc/both", "1", now + 3).file("etc/new", "2", now + 4);
    return difference_bytes(root, base);
  };
  const std::string first = make(kMade);
  EXPECT_EQ(first, make(kMade + 1000));
  EXPECT_THAT(names_of(read_tar(first)), ElementsAre("etc", "etc/new", "etc/.wh.gone"));
}

TEST(RootArchive, TheSameRootHasNoDifference) {
  Root base, root;
  for (Root* r : {&base, &root}) r->folder("a").file("a/f").hard("a/h", "a/f").soft("l", "a");
  EXPECT_THAT(difference(root, base), IsEmpty());
}

TEST(RootArchive, ChangesComeWithTheirParents) {
  Root base, root;
  base.folder("a").folder("a/b").file("a/b/same").file("a/b/f", "old").file("a/mode");
  root.folder("a")
      .folder("a/b")
      .file("a/b/same")
      .file("a/b/f", "new")
      .file("a/mode")
      .folder("z", kPackage, 0700);
  EXPECT_THAT(difference(root, base), ElementsAre("a", "a/b", "a/b/f", "z"));
}

TEST(RootArchive, AFoldersTimeAloneIsNoChange) {
  Root base, root;
  base.folder("a", kPackage);
  root.folder("a", kPackage + 1);
  EXPECT_THAT(difference(root, base), IsEmpty());
}

TEST(RootArchive, AHardLinkBringsItsFile) {
  Root base, root;
  base.file("f", "same");
  root.file("f", "same").hard("h", "f");
  EXPECT_THAT(difference(root, base), ElementsAre("f", "h"));
}

TEST(RootArchive, AChangedFileBringsItsHardLinks) {
  Root base, root;
  base.file("f", "old").hard("h", "f");
  root.file("f", "new").hard("h", "f");
  EXPECT_THAT(difference(root, base), ElementsAre("f", "h"));
}

TEST(RootArchive, OneWhiteoutStandsForAFolder) {
  Root base, root;
  // "d-e" sorts between "d" and what is below "d".
  base.folder("d").file("d-e").folder("d/sub").file("d/sub/f").file("d/x").folder("k").file("k/y");
  root.folder("k");
  EXPECT_THAT(difference(root, base), ElementsAre("k", ".wh.d", ".wh.d-e", "k/.wh.y"));
}

TEST(RootArchive, WhatReplacesAFolderNeedsNoWhiteoutsBelowIt) {
  Root base, root;
  base.folder("lib").folder("lib/x").file("lib/x/f").file("lib/g");
  root.soft("lib", "usr/lib");
  EXPECT_THAT(difference(root, base), ElementsAre("lib"));
}

}  // namespace
}  // namespace kiln::builders
