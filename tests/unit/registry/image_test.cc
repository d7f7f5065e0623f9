#include "registry/image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace kiln::registry {
namespace {

const std::string kA = "sha256:" + std::string(64, 'a');
const std::string kB = "sha256:" + std::string(64, 'b');

std::string descriptor(const std::string& digest, const std::string& more = "") {
  return R"({"mediaType":"x/y","size":3,"digest":")" + digest + "\"" + more + "}";
}

TEST(Manifest, SurvivesARoundTripByteForByte) {
  Manifest manifest{std::string(media::kManifest),
                    {std::string(media::kConfig), Digest::of_text(kA), 7, {}, {}, {}, {}},
                    {{std::string(media::kLayerGzip), Digest::of_text(kB), 9, {{"k", "v"}}, {}, {}, {}}},
                    {{"a", "b"}}};
  const std::string text = serialize(manifest);
  const Manifest again = parse_manifest(text);
  EXPECT_EQ(again.layers, manifest.layers);
  EXPECT_EQ(again.config, manifest.config);
  EXPECT_EQ(serialize(again), text);
}

TEST(Manifest, ReadsDockerSchema2) {
  const Manifest manifest = parse_manifest(
      R"({"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json","config":)" +
      descriptor(kA) + R"(,"layers":[)" + descriptor(kB) + "]}");
  EXPECT_EQ(manifest.media_type, media::kDockerManifest);
  EXPECT_EQ(manifest.layers.size(), 1u);
}

TEST(Manifest, RefusesMalformedAndAmbiguousDocuments) {
  const std::string config = R"("config":)" + descriptor(kA);
  for (const std::string& bad : {
           std::string("not json"),
           std::string("[]"),
           std::string("{}"),
           "{" + config + R"(,"manifests":[]})",  // CVE-2021-41190
           "{" + config + R"(,"mediaType":")" + std::string(media::kIndex) + "\"}",
           std::string(R"({"config":{"size":1,"digest":"sha256:../../etc"}})"),  // CVE-2024-3727
           std::string(R"({"config":{"size":-1,"digest":")" + kA + "\"}}"),
           std::string(R"({"config":{"size":18446744073709551615,"digest":")" + kA + "\"}}"),
           std::string(R"({"schemaVersion":1,)" + config + "}"),
           std::string(100000, '['),
           "{" + config + R"(,"x":)" + std::string(1000, '[') + std::string(1000, ']') + "}",
       })
    EXPECT_THROW(parse_manifest(bad), Error) << bad.substr(0, 100);
  EXPECT_THROW(parse_index("{" + config + "}"), Error);
}

TEST(ImageConfig, SurvivesARoundTrip) {
  ImageConfig config;
  config.created = "2026-01-01T00:00:00Z";
  config.user = "1000";
  config.env = {"A=b"};
  config.entrypoint = {"/cnb/lifecycle/launcher"};
  config.cmd = {"web"};
  config.working_dir = "/workspace";
  config.exposed_ports = {"8080/tcp"};
  config.labels = {{"l", "v"}};
  config.diff_ids = {Digest::of_text(kA)};
  config.history = {{"RUN x", "c", "2026-01-01T00:00:00Z", true}};
  const std::string text = serialize(config);
  const ImageConfig again = parse_config(text);
  EXPECT_EQ(serialize(again), text);
  EXPECT_EQ(again.labels, config.labels);
  EXPECT_TRUE(again.history[0].empty_layer);
}

TEST(ImageConfig, TakesNullsAsAbsent) {
  const ImageConfig config = parse_config(
      R"({"os":"linux","architecture":"arm64","config":{"Env":null,"Cmd":["a"],"Labels":null},"rootfs":{"type":"layers","diff_ids":null}})");
  EXPECT_TRUE(config.env.empty());
  EXPECT_EQ(config.architecture, "arm64");
}

TEST(Index, PicksThePlatform) {
  const std::string index = R"({"schemaVersion":2,"manifests":[)" +
                            descriptor(kA, R"(,"platform":{"os":"linux","architecture":"arm64"})") + "," +
                            descriptor(kB, R"(,"platform":{"os":"linux","architecture":"amd64"})") + "," +
                            descriptor(kA, R"(,"platform":{"os":"unknown","architecture":"unknown"})") + "]}";
  EXPECT_EQ(select_platform(index, "linux", "amd64").digest.text(), kB);
  try {
    select_platform(index, "linux", "s390x");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::NotFound);
    EXPECT_THAT(error.hint(), testing::HasSubstr("linux/arm64, linux/amd64"));
  }
}

}  // namespace
}  // namespace kiln::registry
