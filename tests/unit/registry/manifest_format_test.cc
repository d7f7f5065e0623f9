#include "registry/copy/manifest_format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "registry/copy/copy.h"
#include "registry/copy/store_place.h"
#include "tests/unit/registry/fixtures.h"

namespace kiln::registry {
namespace {

using nlohmann::json;
using testing::HasSubstr;

constexpr const char* kDockerLayer = "application/vnd.docker.image.rootfs.diff.tar";
constexpr const char* kDockerConfig = "application/vnd.docker.container.image.v1+json";

class ManifestFormatTest : public testing::Test {
 protected:
  Descriptor put(const json& document, std::string_view type = media::kManifest) {
    return from_.put(document.dump(), type);
  }
  json entry(std::string_view type, const std::string& content) { return to_json(from_.put(content, type)); }
  // Copies it in that format and returns the manifest there.
  json written(const Descriptor& image, ManifestFormat format) {
    CopyOptions options;
    options.platform.reset();
    options.format = format;
    options.converted = [&](const Descriptor& before, const Descriptor&) { before_ = before.digest; };
    StoreSource source(from_, image);
    StoreTarget target(to_, StoreTarget::Entry::Named, "x:v1");
    there_ = copy_image(source, target, options);
    return json::parse(to_.read(there_.digest));
  }
  Error error_of(const Descriptor& image, ManifestFormat format) {
    try {
      written(image, format);
    } catch (const Error& error) {
      return error;
    }
    ADD_FAILURE() << "converted";
    return Error(ErrorKind::Failed, "nothing was thrown");
  }

  TempDir from_dir_, to_dir_;
  Store from_{from_dir_.path()}, to_{to_dir_.path()};
  std::optional<Digest> before_;
  Descriptor there_;
};

TEST_F(ManifestFormatTest, TypesChangeAndBlobsDoNot) {
  const Image image = make_image(from_, {"one", "two"});
  const json docker = written(image.descriptor, ManifestFormat::Docker);
  EXPECT_EQ(docker["mediaType"], media::kDockerManifest);
  EXPECT_EQ(there_.media_type, media::kDockerManifest);
  EXPECT_EQ(docker["config"]["mediaType"], kDockerConfig);
  EXPECT_EQ(docker["config"]["digest"], image.manifest.config.digest.text());
  for (const size_t i : {0, 1}) {
    EXPECT_EQ(docker["layers"][i]["mediaType"], kDockerLayer);
    EXPECT_EQ(docker["layers"][i]["digest"], image.manifest.layers[i].digest.text());
  }
  EXPECT_EQ(before_, image.descriptor.digest);
  EXPECT_EQ(to_.resolve("x:v1")->digest, there_.digest);

  const Descriptor in_docker = from_.put(to_.read(there_.digest), media::kDockerManifest);
  const json back = written(in_docker, ManifestFormat::Oci);
  EXPECT_EQ(back["mediaType"], media::kManifest);
  EXPECT_EQ(back["config"]["mediaType"], media::kConfig);
  EXPECT_EQ(back["layers"][1]["mediaType"], media::kLayer);
}

TEST_F(ManifestFormatTest, WhatIsInTheFormatStaysByteForByte) {
  const std::string spaced = R"({ "schemaVersion": 2, "mediaType": ")" + std::string(media::kManifest) +
                             R"(", "config": )" + entry(media::kConfig, "{}").dump() + R"(, "layers": [] })";
  const Descriptor image = from_.put(spaced, media::kManifest);
  written(image, ManifestFormat::Oci);
  EXPECT_EQ(there_.digest, image.digest);
  EXPECT_FALSE(before_);
}

TEST_F(ManifestFormatTest, AnIndexNamesItsImagesInTheNewFormat) {
  json index{{"schemaVersion", 2}, {"mediaType", media::kIndex}, {"annotations", {{"a", "b"}}}};
  for (const char* layer : {"one", "two"}) {
    json one = to_json(make_image(from_, {layer}, layer).descriptor);
    one["platform"] = {{"os", "linux"}, {"architecture", layer}};
    one["annotations"] = {{"a", "b"}};
    index["manifests"].push_back(one);
  }
  const json docker = written(put(index, media::kIndex), ManifestFormat::Docker);
  EXPECT_EQ(docker["mediaType"], media::kDockerIndex);
  EXPECT_FALSE(docker.contains("annotations"));
  for (const json& entry : docker["manifests"]) {
    EXPECT_EQ(entry["mediaType"], media::kDockerManifest);
    EXPECT_EQ(entry["platform"]["os"], "linux");
    EXPECT_FALSE(entry.contains("annotations"));
    const std::string child = to_.read(Digest::of_text(entry["digest"].get<std::string>()));
    EXPECT_EQ(entry["size"], child.size());
    EXPECT_EQ(json::parse(child)["mediaType"], media::kDockerManifest);
  }
}

TEST_F(ManifestFormatTest, WhatDockersFormatCannotSayIsRefused) {
  const json config = entry(media::kConfig, "{}");
  const json zstd{{"schemaVersion", 2},
                  {"mediaType", media::kManifest},
                  {"config", config},
                  {"layers", {entry(media::kLayerZstd, "z")}}};
  const Error error = error_of(put(zstd), ManifestFormat::Docker);
  EXPECT_EQ(error.kind(), ErrorKind::Usage);
  EXPECT_THAT(error.message(), HasSubstr("compressed with zstd"));
  json artifact = zstd;
  artifact["layers"] = json::array({entry("text/plain", "t")});
  EXPECT_THAT(error_of(put(artifact), ManifestFormat::Docker).message(), HasSubstr("\"text/plain\""));
  artifact["config"] = entry("application/vnd.example+json", "{}");
  EXPECT_THAT(error_of(put(artifact), ManifestFormat::Docker).message(), HasSubstr("artifact"));
  json referrer = zstd;
  referrer["layers"] = json::array();
  referrer["subject"] = config;
  EXPECT_THAT(error_of(put(referrer), ManifestFormat::Docker).message(), HasSubstr("artifact"));
  EXPECT_THAT(to_.list(), testing::IsEmpty());
}

TEST_F(ManifestFormatTest, LayersThatStayElsewhereKeepTheirPlaces) {
  json layer = entry("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "far away");
  layer["urls"] = {"https://far.example/layer"};
  const json docker{{"schemaVersion", 2},
                    {"mediaType", media::kDockerManifest},
                    {"config", entry(kDockerConfig, "{}")},
                    {"layers", {layer}}};
  const json oci = written(put(docker, media::kDockerManifest), ManifestFormat::Oci);
  EXPECT_EQ(oci["layers"][0]["mediaType"], "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip");
  EXPECT_EQ(oci["layers"][0]["urls"], layer["urls"]);
}

}  // namespace
}  // namespace kiln::registry
