#include "registry/copy/file_tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/process.h"
#include "registry/layers/tar_writer.h"
#include "tests/unit/registry/tar_builder.h"

namespace kiln::registry {
namespace {

using testing::HasSubstr;

class TarTrees : public testing::Test {
 protected:
  TarTree tree(const std::string& bytes, const TarTree::Limits& limits = {}) {
    write_file(dir_.path() / "a.tar", bytes);
    return TarTree(dir_.path() / "a.tar", limits);
  }
  std::string refusal(const std::string& bytes, const TarTree::Limits& limits = {}) {
    try {
      tree(bytes, limits);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::Invalid);
      return error.message();
    }
    return "it was taken";
  }
  TempDir dir_;
};

TEST_F(TarTrees, GiveMembersByTheirPaths) {
  const TarTree archive = tree(TarBuilder()
                                   .folder("a/")
                                   .file("./a//b", "1")
                                   .file("c", "old")
                                   .file("c", "new")
                                   .pax("path", std::string(300, 'n'))
                                   .file("short", "2")
                                   .hardlink("h", "a/b")
                                   .symlink("a/s", "../c")
                                   .symlink("out", "../../etc/passwd")
                                   .symlink("round", "round")
                                   .finish());
  EXPECT_EQ(archive.read("a/b", 10), "1");
  EXPECT_EQ(archive.read("c", 10), "new");
  EXPECT_EQ(archive.read(std::string(300, 'n'), 10), "2");
  EXPECT_EQ(archive.read("h", 10), "1");
  EXPECT_EQ(archive.read("a/s", 10), "new");
  for (const char* none : {"a", "short", "out", "nothing", "", "../a/b"})
    EXPECT_FALSE(archive.open(none)) << none;
  EXPECT_THROW(archive.open("round"), Error);
  EXPECT_THROW(archive.read("c", 2), Error) << "longer than wanted";
}

TEST_F(TarTrees, ReadWhatWeWrite) {
  const std::string name(150, 'x');
  std::string bytes;
  TarWriter tar([&](std::string_view piece) { bytes += piece; });
  tar.entry({.name = "a", .size = 3});
  tar.content("abc");
  tar.entry({.name = name});
  tar.finish();
  EXPECT_EQ(tree(bytes).read("a", 10), "abc");
  EXPECT_EQ(tree(bytes).read(name, 10), "");
  write_file(dir_.path() / "b.tar", bytes);
  const Finished listed = run({.argv = {"tar", "tf", (dir_.path() / "b.tar").string()},
                               .environment = {},
                               .directory = {},
                               .input = {}});
  EXPECT_EQ(listed.output, "a\n" + name + "\n") << listed.errors;
}

TEST_F(TarTrees, UnpackWhatIsAroundThem) {
  const std::string plain = TarBuilder().file("a", "1").finish();
  write_file(dir_.path() / "a.tar", plain);
  for (const auto& [program, suffix] : {std::pair("gzip", ".gz"), {"zstd", ".zst"}, {"xz", ".xz"}}) {
    if (!find_program(program)) continue;
    const fs::path file = dir_.path() / ("a.tar" + std::string(suffix));
    ASSERT_TRUE(run({.argv = {program, "-k", "-f", (dir_.path() / "a.tar").string()},
                     .environment = {},
                     .directory = {},
                     .input = {}})
                    .ok());
    if (program == std::string("xz"))
      EXPECT_THROW(TarTree{file}, Error);
    else
      EXPECT_EQ(TarTree(file).read("a", 10), "1") << program;
    std::string cut = read_file(file);
    cut.resize(cut.size() / 2);
    write_file(file, cut);
    EXPECT_THROW(TarTree{file}, Error) << program;
  }
}

TEST_F(TarTrees, RefuseWhatNoWriterMeans) {
  const std::string good = TarBuilder().file("a", std::string(600, 'a')).finish();
  EXPECT_THAT(refusal(""), HasSubstr("too early"));
  EXPECT_THAT(refusal("no tar"), HasSubstr("too early"));
  EXPECT_THAT(refusal(std::string(1024, 'x')), HasSubstr("a header is not one"));
  EXPECT_THAT(refusal(good.substr(0, 1024)), HasSubstr("longer than the archive"));
  std::string flipped = good;
  flipped[0] ^= 1;
  EXPECT_THAT(refusal(flipped), HasSubstr("a header is not one"));
  const auto pax = [](const char* key, const std::string& value) {
    return TarBuilder().pax(key, value).file("a", "1").finish();
  };
  EXPECT_THAT(refusal(pax("size", "99999999999999999")), HasSubstr("longer than the archive"));
  EXPECT_THAT(refusal(pax("size", "-1")), HasSubstr("malformed"));
  EXPECT_THAT(refusal(pax("GNU.sparse.major", "1")), HasSubstr("sparse"));
  EXPECT_THAT(refusal(TarBuilder().add({.name = "p", .type = 'x', .content = "9999 path=a\n"}).finish()),
              HasSubstr("malformed"));
  EXPECT_THAT(
      refusal(TarBuilder().add({.name = "p", .type = 'x', .content = std::string(2 << 20, 'x')}).finish()),
      HasSubstr("too large"));
  TarTree::Limits few;
  few.members = 2;
  EXPECT_THAT(refusal(TarBuilder().file("a", "").file("b", "").file("c", "").finish(), few),
              HasSubstr("too many members"));
}

TEST_F(TarTrees, ABombIsNotUnpacked) {
  if (!find_program("gzip")) GTEST_SKIP() << "gzip is not installed";
  write_file(dir_.path() / "a.tar", TarBuilder().file("a", std::string(1 << 20, 'a')).finish());
  run({.argv = {"gzip", (dir_.path() / "a.tar").string()}, .environment = {}, .directory = {}, .input = {}});
  TarTree::Limits limits;
  limits.bytes = 1 << 19;
  EXPECT_THROW(TarTree(dir_.path() / "a.tar.gz", limits), Error);
}

}  // namespace
}  // namespace kiln::registry
