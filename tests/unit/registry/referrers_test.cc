#include "registry/referrers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/process.h"
#include "tests/unit/registry/docker_registry.h"
#include "tests/unit/registry/fixtures.h"

namespace kiln::registry {
namespace {

using nlohmann::json;
using testing::ElementsAre;

class Referrers : public testing::Test {
 protected:
  // A signature, say, that says what it belongs to.
  Descriptor referrer(const Descriptor& subject, const std::string& salt) {
    const Descriptor config = store_.put("{}", "application/vnd.oci.empty.v1+json");
    const Descriptor layer = store_.put(salt, "text/plain");
    const json document{{"schemaVersion", 2},
                        {"mediaType", media::kManifest},
                        {"artifactType", "application/example"},
                        {"config", to_json(config)},
                        {"layers", {to_json(layer)}},
                        {"subject", to_json(subject)},
                        {"annotations", {{"salt", salt}}}};
    return store_.put(document.dump(), media::kManifest);
  }
  // What the tag lists: "DIGEST TYPE SALT" each.
  std::vector<std::string> listed(const std::string& host, const Digest& subject) {
    std::vector<std::string> out;
    const auto fetched = client_.fetch_manifest(Reference::parse(host + "/app:" + referrers_tag(subject)));
    EXPECT_EQ(fetched.descriptor.media_type, media::kIndex);
    const json index = json::parse(fetched.bytes);
    for (const json& one : index["manifests"])
      out.push_back(one["digest"].get<std::string>() + " " + one["artifactType"].get<std::string>() + " " +
                    one["annotations"]["salt"].get<std::string>());
    return out;
  }

  TempDir dir_;
  Store store_{dir_.path()};
  Client client_{impatient()};
  const Image image_ = make_image(store_, {TarBuilder().file("f", "x").finish()});
};

TEST_F(Referrers, AreListedByATagWhereTheRegistryHasNoListOfItsOwn) {
  if (!find_program("docker-registry")) GTEST_SKIP() << "docker-registry is not installed";
  DockerRegistry peer;
  ASSERT_TRUE(peer.running());
  client_.push(store_, image_.descriptor, Reference::parse(peer.host() + "/app:v1"));
  const Descriptor first = referrer(image_.descriptor, "one"), second = referrer(image_.descriptor, "two");
  for (const Descriptor& one : {first, second, first})
    client_.push(store_, one, Reference::parse(peer.host() + "/app@" + one.digest.text()));
  EXPECT_THAT(listed(peer.host(), image_.descriptor.digest),
              ElementsAre(first.digest.text() + " application/example one",
                          second.digest.text() + " application/example two"));
}

TEST_F(Referrers, NeedNoTagWhereTheRegistryListsThem) {
  TestRegistry remote;
  client_.push(store_, image_.descriptor, Reference::parse(remote.host() + "/app:v1"));
  const Descriptor one = referrer(image_.descriptor, "one");
  client_.push(store_, one, Reference::parse(remote.host() + "/app@" + one.digest.text()));
  EXPECT_FALSE(
      client_.resolve(Reference::parse(remote.host() + "/app:" + referrers_tag(image_.descriptor.digest))));
}

TEST(ReferrersTag, IsCutForLongDigests) {
  const std::string hex(128, 'a');
  EXPECT_EQ(referrers_tag(*Digest::parse("sha512:" + hex)), "sha512-" + hex.substr(0, 64));
}

TEST(ReferrerEntry, TakesTheConfigsTypeWhereTheManifestHasNone) {
  const Descriptor manifest{std::string(media::kManifest), sha256("x"), 1, {}, {}, {}, {}};
  EXPECT_EQ(referrer_entry(manifest, json{{"config", {{"mediaType", "text/x"}}}})["artifactType"], "text/x");
  EXPECT_FALSE(referrer_entry(manifest, json::array()).contains("artifactType"));
}

}  // namespace
}  // namespace kiln::registry
