#include "registry/copy/copy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>

#include "base/error.h"
#include "registry/copy/store_place.h"
#include "tests/unit/registry/copy_fixture.h"

namespace kiln::registry {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

TEST_F(Copy, EveryPlaceGivesBackWhatItWasGiven) {
  const Image given = image("a");
  for (const std::string& place :
       {in_registry("team/app:v2"), std::string("other:v1"), at("oci:", "1"), at("oci:", "2:a:b/c"),
        at("oci-archive:", "3"), at("oci-archive:", "4:name"), at("dir:", "5")}) {
    EXPECT_EQ(copy("app:v1", place).digest, given.descriptor.digest) << place;
    EXPECT_EQ(read_back(place).descriptor.digest, given.descriptor.digest) << place;
  }
}

TEST_F(Copy, FromAnyPlaceToAnyOther) {
  const Image given = image("a");
  std::string last = "app:v1";
  for (const std::string& place :
       {in_registry("one:v1"), in_registry("team/two:v1"), at("dir:", "1"), at("oci-archive:", "2"),
        at("oci:", "3:x"), in_registry("three:v1"), at("oci-archive:", "4:y"), at("dir:", "5")}) {
    EXPECT_EQ(copy(last, place).digest, given.descriptor.digest) << place;
    last = place;
  }
  EXPECT_EQ(read_back(last).descriptor.digest, given.descriptor.digest);
}

TEST_F(Copy, AllPlatformsAreCopiedWithTheirIndex) {
  const Descriptor given = index();
  CopyOptions all;
  all.platform.reset();
  CopyOptions s390x;
  s390x.platform = Platform::parse("linux/s390x");
  for (const std::string& place :
       {in_registry("multi:v1"), at("oci:", "1"), at("oci-archive:", "2"), at("dir:", "3")}) {
    EXPECT_EQ(copy("multi:v1", place, all).digest, given.digest) << place;
    EXPECT_EQ(read_back(place).descriptor.digest, images_[Platform::of_machine().text()]) << place;
    EXPECT_EQ(read_back(place, s390x).descriptor.digest, images_["linux/s390x"]) << place;
  }
  const Error refused = error_of("multi:v1", at("docker-archive:", "4"), all);
  EXPECT_EQ(refused.kind(), ErrorKind::Usage);
  EXPECT_THAT(refused.hint(), HasSubstr("oci-archive"));
}

TEST_F(Copy, ThePlatformIsChosenWithItsVariant) {
  index();
  CopyOptions options;
  const auto copied = [&](const char* platform) {
    options.platform = Platform::parse(platform);
    return copy("multi:v1", "one:v1", options).digest;
  };
  EXPECT_EQ(copied("linux/arm/v7"), images_["linux/arm/v7"]);
  EXPECT_EQ(copied("linux/arm/v6"), images_["linux/arm/v6"]);
  EXPECT_EQ(copied("linux/arm/v8"), images_["linux/arm/v7"]) << "the next lower one";
  options.platform = Platform::parse("linux/arm/v5");
  EXPECT_THAT(error_of("multi:v1", "one:v1", options).hint(), HasSubstr("linux/arm/v6"));
  for (const char* bad : {"linux", "linux/", "/amd64", "linux/arm/v7/x", "linux/am d"})
    EXPECT_THROW(Platform::parse(bad), Error) << bad;
}

TEST_F(Copy, AnImageByItselfIsCheckedOnlyWhenAPlatformWasAskedFor) {
  image("a");
  CopyOptions options;
  options.platform = Platform::parse("linux/s390x");
  EXPECT_NO_THROW(copy("app:v1", "b:v1", options));
  options.exact_platform = true;
  const Error error = error_of("app:v1", "b:v2", options);
  EXPECT_EQ(error.kind(), ErrorKind::NotFound);
  EXPECT_THAT(error.hint(), HasSubstr(machine_architecture()));
}

TEST_F(Copy, WhatTheTargetHasIsNotMoved) {
  image("a");
  for (const std::string& place : {in_registry("app:v1"), at("oci:", "1"), at("dir:", "2")}) {
    copy("app:v1", place);
    EXPECT_THAT(events_, UnorderedElementsAre(Kind::Done, Kind::Done, Kind::Done)) << place;
    copy("app:v1", place);
    EXPECT_THAT(events_, UnorderedElementsAre(Kind::Present, Kind::Present, Kind::Present)) << place;
  }
}

TEST_F(Copy, ALayoutWithoutNamesKeepsOneImage) {
  image("a", "a:v1");
  const Image second = image("b", "b:v1");
  copy("a:v1", at("oci:"));
  copy("a:v1", at("oci:"));
  copy("b:v1", at("oci:"));
  EXPECT_EQ(Store(dir_.path() / "place").entries().size(), 1u);
  EXPECT_EQ(read_back(at("oci:")).descriptor.digest, second.descriptor.digest);
  copy("a:v1", at("oci:", ":named"));
  EXPECT_THAT(error_of(at("oci:"), "x:v1").hint(), HasSubstr("named"));
  EXPECT_EQ(read_back(at("oci:", ":" + second.descriptor.digest.text())).descriptor.digest,
            second.descriptor.digest);
}

TEST_F(Copy, AFailedCopyLeavesWhatWasThere) {
  const Image first = image("a");
  copy("app:v1", at("oci-archive:"));
  const Image second = image("b");
  write_file(store_.blob_path(second.manifest.layers[0].digest), "damaged");
  const Error error = error_of("app:v1", at("oci-archive:"));
  EXPECT_THAT(error.full(), HasSubstr("damaged"));
  EXPECT_THAT(files(), UnorderedElementsAre("place"));
  EXPECT_EQ(read_back(at("oci-archive:")).descriptor.digest, first.descriptor.digest);
}

TEST_F(Copy, DamagedSourcesAreToldBeforeAnythingIsNamed) {
  const Image given = image("a");
  copy("app:v1", at("oci-archive:"));
  std::string bytes = read_file(dir_.path() / "place");
  bytes[bytes.find("axxxxx") + 3] ^= 1;  // in a layer
  write_file(dir_.path() / "place", bytes);
  const TempDir dir;
  Store fresh(dir.path());
  const auto source = open_source(ImagePlace::parse(at("oci-archive:")), client_, fresh);
  StoreTarget target(fresh, StoreTarget::Entry::Named, "x:v1");
  try {
    copy_image(*source, target);
    ADD_FAILURE() << "copied";
  } catch (const Error& error) {
    EXPECT_THAT(error.full(), HasSubstr((dir_.path() / "place").string() + " is damaged"));
  }
  EXPECT_FALSE(fresh.resolve("x:v1"));
  const Error pushed = error_of(at("oci-archive:"), in_registry("app:v1"));
  EXPECT_THAT(pushed.full(), HasSubstr("is damaged"));
  EXPECT_FALSE(remote_.store.resolve("app:v1"));
}

TEST_F(Copy, SourcesAreNotChanged) {
  image("a");
  copy("app:v1", at("oci:"));
  const fs::path folder = dir_.path() / "place";
  ::chmod(folder.c_str(), 0555);
  read_back(at("oci:"));
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename());
  EXPECT_THAT(names, UnorderedElementsAre("blobs", "index.json", "oci-layout"));
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> out;
  for (const auto& entry : fs::directory_iterator(folder)) out.push_back(entry.path().filename());
  return out;
}

// One that breaks when its configuration is read, after the layers.
class Breaking : public StoreSource {
 public:
  using StoreSource::StoreSource;
  void read_blob(const Descriptor& blob, BlobSink& sink, const std::function<void(uint64_t)>& progress,
                 std::stop_token stop) override {
    if (blob.media_type == media::kConfig) throw Error(ErrorKind::Unavailable, "it broke");
    StoreSource::read_blob(blob, sink, progress, std::move(stop));
  }
};

TEST_F(Copy, ALayoutForOthersHoldsNothingElse) {
  image("a");
  copy("app:v1", at("oci:", ":one"));
  const std::string layer = sha256(some_tar("a")).text().substr(7);
  write_file(dir_.path() / "place/blobs/sha256" / layer, some_tar("b"));  // damaged: it is written anew
  copy("app:v1", at("oci:", ":two"));
  EXPECT_THAT(names_in(dir_.path() / "place"), UnorderedElementsAre("blobs", "index.json", "oci-layout"));
  read_back(at("oci:", ":one"));
}

TEST_F(Copy, AFailedCopyLeavesNothingHalfDone) {
  const Image given = image("a");
  CopyOptions one;
  one.connections = 1;  // the layers come first
  for (const std::string& place : {at("oci:"), at("oci-archive:"), at("docker-archive:"), at("dir:")}) {
    Breaking source(store_, given.descriptor);
    {
      const auto target = open_target(ImagePlace::parse(place), client_, store_);
      EXPECT_THROW(copy_image(source, *target, one), Error) << place;
    }
    if (place == at("oci:")) {  // what has come whole need not come again
      EXPECT_THAT(names_in(dir_.path() / "place"), UnorderedElementsAre("blobs", "index.json", "oci-layout"));
      copy("app:v1", place);
      EXPECT_THAT(events_, UnorderedElementsAre(Kind::Present, Kind::Present, Kind::Done));
      remove_tree(dir_.path() / "place");
    } else {
      EXPECT_THAT(files(), IsEmpty()) << place;
    }
    copy("app:v1", place);
    remove_tree(dir_.path() / "place");
  }
}

TEST_F(Copy, ALayoutThatGotNothingIsNotThere) {
  const Descriptor config = store_.put("{}", media::kConfig);
  Breaking source(store_, store_.put(serialize(Manifest{std::string(media::kManifest), config, {}, {}}),
                                     media::kManifest));
  {
    const auto target = open_target(ImagePlace::parse(at("oci:")), client_, store_);
    EXPECT_THROW(copy_image(source, *target), Error);
  }
  EXPECT_THAT(files(), IsEmpty());
}

TEST_F(Copy, AFolderHoldsOneImage) {
  image("a");
  copy("app:v1", at("dir:"));
  write_file(dir_.path() / "place/notes", "mine");
  const Image second = image("b");
  copy("app:v1", at("dir:"));
  EXPECT_EQ(read_back(at("dir:")).descriptor.digest, second.descriptor.digest);
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(dir_.path() / "place"))
    names.push_back(entry.path().filename());
  EXPECT_EQ(names.size(), 3u + 3u) << "version, manifest.json, notes, two layers, a configuration";
}

TEST_F(Copy, LayersThatAreNotDistributedMayBeElsewhere) {
  const Image given = image("a");
  Manifest manifest = given.manifest;
  Descriptor foreign;
  foreign.media_type = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
  foreign.digest = sha256("not here");
  foreign.size = 8;
  manifest.layers.push_back(foreign);
  store_.tag("windows:v1", store_.put(serialize(manifest), media::kManifest));
  for (const std::string& place : {in_registry("w:v1"), at("oci-archive:", "1"), at("dir:", "2")}) {
    copy("windows:v1", place);
    EXPECT_EQ(std::ranges::count(events_, Kind::Elsewhere), 1) << place;
    EXPECT_NO_THROW(copy(place, at("oci:", "3"))) << place;
  }
}

TEST_F(Copy, WithinARegistryBlobsAreMountedFromTheSource) {
  image("a");
  copy("app:v1", in_registry("team/run:v1"));
  // Another client, that has seen nothing yet.
  Client fresh(impatient());
  const auto from = ImagePlace::parse(in_registry("team/run:v1")),
             to = ImagePlace::parse(in_registry("rc:x"));
  const auto source = open_source(from, fresh, store_);
  const auto target = open_target(to, fresh, store_, {}, from);
  std::vector<Kind> events;
  CopyOptions options;
  options.transfer.observer = [&](const TransferEvent& event) {
    if (event.kind == Kind::Done && !is_manifest(event.media_type)) events.push_back(event.kind);
  };
  copy_image(*source, *target, options);
  EXPECT_EQ(events, std::vector<Kind>{});
}

TEST_F(Copy, AnImageIsFoundInANestedIndexAndWithoutAWordOnPlatforms) {
  const auto put_index = [&](std::vector<Descriptor> entries) {
    nlohmann::json document{
        {"schemaVersion", 2}, {"mediaType", media::kIndex}, {"manifests", nlohmann::json::array()}};
    for (const Descriptor& entry : entries) document["manifests"].push_back(to_json(entry));
    return store_.put(document.dump(), media::kIndex);
  };
  const auto image_for = [&](const std::string& architecture) {
    ImageConfig config;
    config.architecture = architecture;
    const std::string tar = some_tar(architecture);
    config.diff_ids.push_back(sha256(tar));
    const Manifest manifest{std::string(media::kManifest),
                            store_.put(serialize(config), media::kConfig),
                            {store_.put(tar, media::kLayer)},
                            {}};
    return store_.put(serialize(manifest), media::kManifest);
  };
  const Descriptor arm = image_for("arm64"), s390 = image_for("s390x");
  CopyOptions options;
  options.platform = Platform::parse("linux/s390x");
  store_.tag("flat:v1", put_index({arm, s390}));
  EXPECT_EQ(copy("flat:v1", at("oci:", "1"), options).digest, s390.digest);
  store_.tag("nested:v1", put_index({put_index({arm}), put_index({put_index({s390})})}));
  EXPECT_EQ(copy("nested:v1", at("oci:", "2"), options).digest, s390.digest);
  copy("nested:v1", in_registry("nested:v1"), [] {
    CopyOptions all;
    all.platform.reset();
    return all;
  }());
  EXPECT_EQ(copy(in_registry("nested:v1"), at("oci:", "3"), options).digest, s390.digest);
  options.platform = Platform::parse("linux/riscv64");
  EXPECT_EQ(error_of("nested:v1", at("oci:", "4"), options).hint(),
            "it is there for linux/arm64, linux/s390x");
}

TEST(Platforms, AreKnownByTheirOtherNames) {
  for (const auto& [given, normal] : std::map<std::string, std::string>{{"linux/x86_64", "linux/amd64"},
                                                                        {"Linux/X86-64", "linux/amd64"},
                                                                        {"linux/aarch64", "linux/arm64"},
                                                                        {"linux/arm64/v8", "linux/arm64"},
                                                                        {"linux/armhf", "linux/arm/v7"},
                                                                        {"linux/armel", "linux/arm/v6"},
                                                                        {"linux/arm/7", "linux/arm/v7"},
                                                                        {"linux/i386", "linux/386"}})
    EXPECT_EQ(Platform::parse(given).text(), normal);
}

TEST(ImagePlaces, OfOtherToolsAreNoNames) {
  for (const char* place : {"docker-daemon:app:v1", "containers-storage:x", "ostree:x", "sif:x", "tarball:x",
                            "https://r.example/x"}) {
    try {
      ImagePlace::parse(place);
      ADD_FAILURE() << place;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::Usage) << place;
    }
  }
  EXPECT_EQ(ImagePlace::parse("docker:dind").kind, ImagePlace::Kind::Store);
}

}  // namespace
}  // namespace kiln::registry
