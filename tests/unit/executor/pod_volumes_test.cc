#include "executor/pod_volumes.h"

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "tests/unit/executor/values.h"

namespace kiln::executor {
namespace {

using testing::config_map;
using ::testing::ElementsAre;
using testing::facts_of;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::secret;
using testing::why;
using Kind = dag::VolumeSource::Kind;

dag::VolumeSource source(Kind kind, std::string name = "") {
  dag::VolumeSource out;
  out.kind = kind;
  out.name.value = std::move(name);
  return out;
}

dag::KeyToPath item(std::string key, std::string path, std::optional<int64_t> mode = {}) {
  dag::KeyToPath out;
  out.key.value = std::move(key);
  out.path.value = std::move(path);
  out.mode = mode;
  return out;
}

std::vector<std::string> shown(const std::vector<VolumeFile>& files) {
  std::vector<std::string> out;
  for (const VolumeFile& file : files) {
    char mode[8];
    std::snprintf(mode, sizeof mode, "%o", file.mode);
    out.push_back(file.path.string() + " " + mode + " " + file.content);
  }
  return out;
}

class PodVolumes : public ::testing::Test {
 protected:
  PodVolumes() {
    secret(objects_, "s", {{"a", "1"}, {"b", "2"}});
    config_map(objects_, "c", {{"b", "3"}});
  }
  std::vector<VolumeFile> files(const dag::VolumeSource& source) {
    return volume_files(source, facts_of(objects_), notes_);
  }
  std::string problem(const dag::VolumeSource& source) {
    return why([&] { files(source); });
  }
  dag::ClusterObjects objects_;
  std::vector<std::string> notes_;
};

TEST_F(PodVolumes, AreAFilePerKey) {
  EXPECT_THAT(shown(files(source(Kind::Secret, "s"))), ElementsAre("a 644 1", "b 644 2"));
}

TEST_F(PodVolumes, AreTheItemsOnlyWhenThereAreAny) {
  dag::VolumeSource s = source(Kind::Secret, "s");
  s.items = {item("b", "deep/er/x", 0755), item("a", "y")};
  s.default_mode = 0400;
  EXPECT_THAT(shown(files(s)), ElementsAre("deep/er/x 755 2", "y 400 1"));
}

TEST_F(PodVolumes, OfAProjectionLetTheLastSourceWin) {
  dag::VolumeSource all = source(Kind::Projected);
  all.default_mode = 0440;
  all.sources = {source(Kind::Secret, "s"), source(Kind::ConfigMap, "c"), source(Kind::DownwardApi),
                 source(Kind::ServiceAccountToken, "token")};
  all.sources[2].items = {item("metadata.name", "pod")};
  EXPECT_THAT(shown(files(all)), ElementsAre("a 440 1", "b 440 3", "pod 440 p-pod"));
  EXPECT_THAT(notes_, ElementsAre(HasSubstr("\"token\" is not there")));
}

TEST_F(PodVolumes, LeaveOutWhatIsOptionalAndMissing) {
  dag::VolumeSource none = source(Kind::ConfigMap, "nowhere");
  none.optional = true;
  EXPECT_THAT(files(none), IsEmpty());
  dag::VolumeSource s = source(Kind::Secret, "s");
  s.items = {item("a", "x"), item("gone", "y")};
  EXPECT_THAT(problem(s), HasSubstr("Secret \"s\" has no key \"gone\""));
  s.optional = true;
  EXPECT_THAT(shown(files(s)), ElementsAre("x 644 1"));
  EXPECT_THAT(problem(source(Kind::ConfigMap, "nowhere")), HasSubstr("is not among the documents loaded"));
}

TEST_F(PodVolumes, NeverClimbOut) {
  for (const char* path : {"../x", "a/../../x", "/etc/x", "", ".", "..", "a/..", "x/"}) {
    dag::VolumeSource s = source(Kind::Secret, "s");
    s.items = {item("a", path)};
    EXPECT_THAT(problem(s), HasSubstr("leaves its volume")) << path;
  }
  secret(objects_, "keys", {{"../x", "1"}});
  EXPECT_THAT(problem(source(Kind::Secret, "keys")), HasSubstr("is no file name"));
  secret(objects_, "keys", {{"..", "1"}});
  EXPECT_THAT(problem(source(Kind::Secret, "keys")), HasSubstr("leaves its volume"));
}

TEST_F(PodVolumes, RefuseAFileThatIsAlsoAFolder) {
  dag::VolumeSource s = source(Kind::Secret, "s");
  s.items = {item("a", "x"), item("b", "x/y")};
  EXPECT_THAT(problem(s), HasSubstr("cannot be a file and the folder"));
}

TEST_F(PodVolumes, RefuseAModeThatWasMeantToBeOctal) {
  dag::VolumeSource s = source(Kind::Secret, "s");
  s.default_mode = 644;
  EXPECT_THAT(problem(s), HasSubstr("not between 0 and 0777"));
}

TEST_F(PodVolumes, RefuseWhatOnlyAClusterHas) {
  dag::VolumeSource all = source(Kind::Projected);
  all.sources = {source(Kind::Other)};
  EXPECT_THAT(problem(all), HasSubstr("only a cluster can give"));
}

TEST_F(PodVolumes, AreWrittenWithTheirModes) {
  const TempDir folder;
  const ::mode_t before = ::umask(077);
  write_volume({folder.path() / "v", {{"deep/x", "1", 0755}, {"y", "2", 0400}}}, {});
  ::umask(before);
  struct stat st;
  ASSERT_EQ(::stat((folder.path() / "v/deep/x").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0755u);
  ASSERT_EQ(::stat((folder.path() / "v/deep").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0755u);
  ASSERT_EQ(::stat((folder.path() / "v/y").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0400u);
  EXPECT_EQ(read_file(folder.path() / "v/deep/x"), "1");
}

TEST_F(PodVolumes, BelongToTheGroupThatIsAskedFor) {
  if (::geteuid() != 0) GTEST_SKIP() << "giving files away needs root";
  const TempDir folder;
  write_volume({folder.path() / "v", {{"y", "2", 0400}}}, 1234);
  struct stat st;
  ASSERT_EQ(::stat((folder.path() / "v/y").c_str(), &st), 0);
  EXPECT_EQ(st.st_gid, 1234u);
  EXPECT_EQ(st.st_mode & 07777, 0440u);
}

}  // namespace
}  // namespace kiln::executor
