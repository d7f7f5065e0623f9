// Images in archives: what is written, what is read, and what is left alone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>

#include "base/error.h"
#include "registry/copy/file_tree.h"
#include "tests/unit/registry/copy_fixture.h"

namespace kiln::registry {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

TEST_F(Copy, ADockerArchiveKeepsConfigurationAndLayers) {
  const Image given = image("a");
  const std::string place = at("docker-archive:", ":hello:v2");
  copy("app:v1", place);
  const TarTree tree(dir_.path() / "place");
  const auto document = nlohmann::json::parse(tree.read("manifest.json", 1 << 20));
  EXPECT_EQ(document[0]["RepoTags"], nlohmann::json({"hello:v2"}));
  EXPECT_EQ(document[0]["Layers"].size(), 3u);
  for (const std::string& from :
       {place, at("docker-archive:"), at("docker-archive:", ":docker.io/library/hello:v2")}) {
    const Image back = read_back(from);
    EXPECT_EQ(back.manifest.config.digest, given.manifest.config.digest);
    EXPECT_EQ(back.manifest.layers.size(), 3u);
    EXPECT_EQ(back.manifest.layers[1].digest, given.manifest.layers[1].digest);
  }
  EXPECT_THAT(error_of(at("docker-archive:", ":other:v1"), "x").hint(), HasSubstr("hello:v2"));
  EXPECT_EQ(read_back(at("oci-archive:")).descriptor.digest, given.descriptor.digest)
      << "it is a layout, too";
}

TEST_F(Copy, AnOldDockerArchiveIsRead) {
  const std::string tar = some_tar("a");
  ImageConfig config;
  config.architecture = machine_architecture();
  config.diff_ids = {sha256(tar), sha256(tar)};
  write_file(dir_.path() / "place",
             TarBuilder()
                 .file("abc/layer.tar", tar)
                 .symlink("def/layer.tar", "../abc/layer.tar")
                 .file("c.json", serialize(config))
                 .file("manifest.json",
                       R"([{"Config":"c.json","RepoTags":null,"Layers":["abc/layer.tar","def/layer.tar"]}])")
                 .finish());
  const Image back = read_back(at("docker-archive:"));
  EXPECT_EQ(back.manifest.layers.size(), 2u);
  EXPECT_EQ(back.manifest.layers[1].digest, sha256(tar));
}

TEST_F(Copy, AnArchiveIsTheSameEachTimeAndLeftAloneWhenItIs) {
  image("a");
  copy("app:v1", at("oci-archive:", "1"));
  copy("app:v1", at("oci-archive:", "2"));
  EXPECT_EQ(read_file(dir_.path() / "place1"), read_file(dir_.path() / "place2"));
  struct stat before, after;
  ASSERT_EQ(::stat((dir_.path() / "place1").c_str(), &before), 0);
  copy("app:v1", at("oci-archive:", "1"));
  EXPECT_THAT(events_, IsEmpty());
  ASSERT_EQ(::stat((dir_.path() / "place1").c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);
  const Image other = image("b");
  copy("app:v1", at("oci-archive:", "1"));
  EXPECT_EQ(read_back(at("oci-archive:", "1")).descriptor.digest, other.descriptor.digest);
}

TEST_F(Copy, AnArchiveOfAnImageOfAnotherNameIsNotOverwritten) {
  const Image first = image("a", "a:v1");
  image("b", "b:v1");
  for (const std::string transport : {"oci-archive:", "docker-archive:"}) {
    fs::remove(dir_.path() / "place");
    copy("a:v1", at(transport, ":one:v1"));
    const std::string before = read_file(dir_.path() / "place");
    for (const char* name : {"", ":two:v1"}) {
      const Error refused = error_of("b:v1", at(transport, name));
      EXPECT_EQ(refused.kind(), ErrorKind::Usage);
      EXPECT_THAT(refused.message(), HasSubstr("another image, one:v1"));
      EXPECT_THAT(refused.hint(), HasSubstr("name another file"));
    }
    EXPECT_EQ(read_file(dir_.path() / "place"), before);
    EXPECT_NO_THROW(copy("b:v1", at(transport, ":one:v1"))) << "the same name's is replaced";
  }
  fs::remove(dir_.path() / "place");
  copy("a:v1", at("oci-archive:"));
  EXPECT_THAT(error_of("b:v1", at("oci-archive:", ":two")).message(), HasSubstr("has no name"));
  EXPECT_EQ(read_back(at("oci-archive:")).descriptor.digest, first.descriptor.digest);
}

// As skopeo and Docker write them: no layout, or one that calls the image something else.
TEST_F(Copy, AnArchiveOfOtherToolsIsReplacedOnlyByItsOwnName) {
  image("a");
  const std::string saved = R"([{"Config":"c.json","RepoTags":["docker.io/library/one:v1"%],"Layers":[]}])";
  const auto write = [&](const std::string& more, bool layout) {
    TarBuilder tar;
    tar.file("manifest.json", saved.substr(0, saved.find('%')) + more + saved.substr(saved.find('%') + 1));
    if (layout)
      tar.file(
          "index.json",
          R"({"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":2,"digest":")" +
              sha256("{}").text() + R"(","annotations":{"org.opencontainers.image.ref.name":"v1"}}]})");
    write_file(dir_.path() / "place", tar.finish());
  };
  for (const bool layout : {false, true}) {
    write("", layout);
    EXPECT_THAT(error_of("app:v1", at("docker-archive:", ":two:v1")).message(), HasSubstr("library/one:v1"));
    EXPECT_EQ(error_of("app:v1", at("oci-archive:", ":two:v1")).kind(), ErrorKind::Usage);
    write(R"(,"three:v1")", layout);
    EXPECT_THAT(error_of("app:v1", at("docker-archive:", ":one:v1")).message(), HasSubstr("other images"));
    write("", layout);
    EXPECT_NO_THROW(copy("app:v1", at("docker-archive:", ":one:v1")));
  }
}

TEST_F(Copy, WhatIsNoImageIsNotOverwritten) {
  image("a");
  write_file(dir_.path() / "place", "my diary");
  for (const char* transport : {"oci-archive:", "docker-archive:"}) {
    const Error error = error_of("app:v1", at(transport));
    EXPECT_EQ(error.kind(), ErrorKind::Usage);
    EXPECT_THAT(error.message(), HasSubstr("no archive of an image"));
  }
  EXPECT_EQ(read_file(dir_.path() / "place"), "my diary");
  make_dirs(dir_.path() / "place1");
  write_file(dir_.path() / "place1/diary", "");
  for (const char* transport : {"oci:", "dir:"})
    EXPECT_EQ(error_of("app:v1", at(transport, "1")).kind(), ErrorKind::Usage);
  // Images under other names count, too.
  for (const char* name : {"a", "b"}) copy("app:v1", at("oci:", std::string("2:") + name));
  TarBuilder tar;
  for (const char* file : {"oci-layout", "index.json"})
    tar.file(file, read_file(dir_.path() / "place2" / file));
  write_file(dir_.path() / "place3", tar.finish());
  EXPECT_THAT(error_of("app:v1", at("oci-archive:", "3:a")).message(), HasSubstr("other images"));
}

TEST_F(Copy, ADockerArchiveTakesNothingThatNobodyCouldLoad) {
  const Image given = image("a");
  Manifest artifact = given.manifest;
  artifact.config = store_.put("{}", "application/vnd.oci.empty.v1+json");
  Manifest odd = given.manifest;
  odd.layers.pop_back();
  Manifest partial = given.manifest;
  partial.layers[0].media_type = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
  partial.layers[0].digest = sha256("not here");
  for (const Manifest& manifest : {artifact, odd, partial}) {
    store_.tag("bad:v1", store_.put(serialize(manifest), media::kManifest));
    EXPECT_EQ(error_of("bad:v1", at("docker-archive:")).kind(), ErrorKind::Usage);
    EXPECT_FALSE(fs::exists(at("")));
  }
}

}  // namespace
}  // namespace kiln::registry
