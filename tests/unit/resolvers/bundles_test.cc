#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "resolvers/bundle_layer.h"
#include "tests/unit/registry/docker_registry.h"
#include "tests/unit/resolvers/world.h"

namespace kiln::resolvers {
namespace {

using registry::Descriptor;
using registry::TarBuilder;
using testing::HasSubstr;

struct Object {
  std::string kind, name, layer;
  std::string media_type{registry::media::kLayer};
};

std::string tar_of(const std::string& name, const std::string& document) {
  return TarBuilder().file(name, document).finish();
}

std::string gzip(const std::string& bytes) {
  const Finished finished = run({.argv = {"gzip", "-c"}, .environment = {}, .directory = {}, .input = bytes});
  EXPECT_TRUE(finished.ok()) << finished.errors;
  return finished.output;
}

// A registry with what `tkn bundle push` would have made of the objects.
class Bundles : public testing::Test {
 protected:
  std::map<std::string, std::string> annotations_of(const Object& object) const {
    return {{"dev.tekton.image.name", object.name},
            {"dev.tekton.image.kind", object.kind},
            {"dev.tekton.image.apiVersion", "v1"}};
  }
  Descriptor push_layers(const std::string& name, const std::vector<Descriptor>& layers) {
    registry::Manifest manifest{std::string(registry::media::kManifest),
                                remote->store.put("{}", registry::media::kConfig),
                                layers,
                                {}};
    const Descriptor descriptor =
        remote->store.put(registry::serialize(manifest), registry::media::kManifest);
    remote->store.tag(name + ":latest", descriptor);
    return descriptor;
  }
  Descriptor push(const std::string& name, const std::vector<Object>& objects) {
    std::vector<Descriptor> layers;
    for (const Object& object : objects) {
      layers.push_back(remote->store.put(object.layer, object.media_type));
      layers.back().annotations = annotations_of(object);
    }
    return push_layers(name, layers);
  }
  std::string bundle(const std::string& name) const { return remote->host() + "/" + name; }
  std::map<std::string, std::string> at(const std::string& bundle_name, const std::string& name,
                                        const std::string& kind = "task") const {
    return {{"bundle", bundle(bundle_name)}, {"name", name}, {"kind", kind}};
  }

  std::unique_ptr<registry::TestRegistry> remote = std::make_unique<registry::TestRegistry>();
  World world;
};

TEST_F(Bundles, ReadsTarsCompressedOnesAndBareDocuments) {
  push("tools", {{"task", "plain", tar_of("plain", task_named("plain"))},
                 {"task", "zipped", gzip(tar_of("zipped", task_named("zipped"))),
                  std::string(registry::media::kLayerGzip)},
                 {"pipeline", "plain", tar_of("plain", "kind: Pipeline\n")},
                 {"stepaction", "raw", "kind: StepAction\n"}});
  EXPECT_EQ(world.fetch("bundles", at("tools", "plain")), task_named("plain"));
  EXPECT_EQ(world.fetch("bundles", at("tools", "zipped", "Task")), task_named("zipped")) << "any case";
  EXPECT_EQ(world.fetch("bundles", at("tools", "plain", "pipeline")), "kind: Pipeline\n");
  EXPECT_EQ(world.fetch("bundles", at("tools", "raw", "stepaction")), "kind: StepAction\n");
}

TEST_F(Bundles, TheKindIsThatOfTheReferenceAndTheServiceAccountIsIgnored) {
  push("tools", {{"task", "x", tar_of("x", task_named("x"))}, {"pipeline", "x", "kind: Pipeline\n"}});
  const std::map<std::string, std::string> params{
      {"bundle", bundle("tools")}, {"name", "x"}, {"serviceAccount", "default"}};
  EXPECT_EQ(world.fetch("bundles", params), task_named("x"));
  EXPECT_EQ(world.fetch("bundles", params, "Pipeline"), "kind: Pipeline\n");
}

TEST_F(Bundles, ADigestNeedsNoNetworkTheSecondTime) {
  const Descriptor pushed = push("tools", {{"task", "x", tar_of("x", task_named("x"))}});
  auto params = at("tools", "x");
  params["bundle"] += "@" + pushed.digest.text();
  world.fetch("bundles", params);
  EXPECT_FALSE(world.log.back().cached);
  remote->server.stop();
  EXPECT_EQ(world.fetch("bundles", params), task_named("x"));
  EXPECT_TRUE(world.log.back().cached);
}

TEST_F(Bundles, ATagIsAskedForAnew) {
  push("tools", {{"task", "x", tar_of("x", task_named("one"))}});
  EXPECT_EQ(world.fetch("bundles", at("tools", "x")), task_named("one"));
  EXPECT_EQ(world.fetch("bundles", at("tools", "x")), task_named("one"));
  EXPECT_TRUE(world.log.back().cached) << "the tag was asked for, the document was known";
  const Descriptor moved = push("tools", {{"task", "x", tar_of("x", task_named("two"))}});
  EXPECT_EQ(world.fetch("bundles", at("tools", "x")), task_named("two"));
  EXPECT_THAT(world.log.back().source, HasSubstr("@" + moved.digest.text() + " task/x"));
  remote->server.stop();
  EXPECT_EQ(world.error("bundles", at("tools", "x")).kind(), ErrorKind::Unavailable);
}

TEST_F(Bundles, AnIndexIsReadForThisMachine) {
  Descriptor entry = push("tools", {{"task", "x", tar_of("x", task_named("x"))}});
  entry.os = "linux";
  entry.architecture = registry::machine_architecture();
  const nlohmann::json index{{"schemaVersion", 2},
                             {"mediaType", registry::media::kIndex},
                             {"manifests", nlohmann::json::array({registry::to_json(entry)})}};
  remote->store.tag("tools:multi", remote->store.put(index.dump(), registry::media::kIndex));
  EXPECT_EQ(world.fetch("bundles", at("tools:multi", "x")), task_named("x"));
}

TEST_F(Bundles, WhatIsNotThereIsNamedWithWhatIs) {
  push("tools", {{"task", "git-clone", "x"}, {"pipeline", "release", "y"}});
  const Error misspelt = world.error("bundles", at("tools", "git-clon"));
  EXPECT_EQ(misspelt.kind(), ErrorKind::NotFound);
  EXPECT_EQ(misspelt.message(), "could not find object in image with kind: task and name: git-clon");
  EXPECT_EQ(misspelt.hint(), "did you mean `git-clone`? there are: task git-clone, pipeline release");
  const Error wrong_kind = world.error("bundles", at("tools", "release"));
  EXPECT_EQ(wrong_kind.message(), "could not find object in image with kind: task and name: release");
  EXPECT_EQ(wrong_kind.hint(), "there are: task git-clone, pipeline release");
  EXPECT_THAT(world.error("bundles", at("other", "x")).message(), HasSubstr("has no bundle"));
  EXPECT_EQ(world.error("bundles", {{"kind", "task"}}).message(),
            "missing required bundles resolver params: bundle, name");
  EXPECT_THAT(world.error("bundles", {{"bundle", "A B"}, {"name", "x"}}).message(),
              HasSubstr("invalid bundle reference: A B"));
}

TEST_F(Bundles, MoreThanTwentyObjectsAreTooMany) {
  std::vector<Object> objects;
  for (int i = 0; i < 20; ++i) objects.push_back({"task", "t" + std::to_string(i), task_named("t")});
  push("twenty", objects);
  EXPECT_EQ(world.fetch("bundles", at("twenty", "t19")), task_named("t"));
  objects.push_back({"task", "t20", task_named("t")});
  push("more", objects);
  const Error error = world.error("bundles", at("more", "t0"));
  EXPECT_EQ(error.kind(), ErrorKind::Invalid);
  EXPECT_EQ(error.message(), "invalid tekton bundle " + bundle("more") +
                                 ", error: contained more than the maximum 20 allow objects");
}

TEST_F(Bundles, AnOrdinaryImageIsNoBundle) {
  push_layers("image", {remote->store.put("x", registry::media::kLayer)});
  EXPECT_THAT(world.error("bundles", at("image", "x")).message(),
              HasSubstr("the layer 0 does not contain a dev.tekton.image.apiVersion annotation"));
  push("upper", {{"Task", "x", "x"}});
  EXPECT_THAT(world.error("bundles", at("upper", "x")).message(),
              HasSubstr("the layer 0 the annotation dev.tekton.image.kind must be lowercased and singular, "
                        "found Task"));
}

TEST_F(Bundles, ALayerHoldsExactlyOneFile) {
  push("odd", {{"task", "two", TarBuilder().file("a", "a").file("b", "b").finish()},
               {"task", "none", TarBuilder().folder("a").finish()},
               {"task", "link", TarBuilder().symlink("a", "/etc/hostname").finish()},
               {"task", "cut", tar_of("a", std::string(4000, 'x')).substr(0, 1500)}});
  for (const std::string name : {"two", "none", "link"})
    EXPECT_THAT(world.error("bundles", at("odd", name)).full(), HasSubstr("does not hold exactly one file"))
        << name;
  EXPECT_THAT(world.error("bundles", at("odd", "cut")).full(), HasSubstr("damaged archive"));
}

TEST_F(Bundles, ALayerThatUnpacksToMuchIsStopped) {
  push("bomb", {{"task", "x", gzip(tar_of("x", std::string(64u << 20, '#')))}});
  const Error error = world.error("bundles", at("bomb", "x"));
  EXPECT_EQ(error.kind(), ErrorKind::Invalid);
  EXPECT_THAT(error.full(), HasSubstr("a document larger than 1.0 MiB"));
  EXPECT_EQ(bundle_document(std::string(1000, '#'), 1000).size(), 1000u);
  EXPECT_THROW(bundle_document(std::string(1001, '#'), 1000), Error);
}

// Against a registry that other people wrote.
TEST_F(Bundles, DockerRegistryServesThemAsWell) {
  if (!find_program("docker-registry")) GTEST_SKIP() << "docker-registry is not installed";
  registry::DockerRegistry peer;
  ASSERT_TRUE(peer.running());
  const Descriptor pushed = push(
      "tools", {{"task", "x", gzip(tar_of("x", task_named("x"))), std::string(registry::media::kLayerGzip)}});
  world.client.push(remote->store, pushed, registry::Reference::parse(peer.host() + "/team/tools:v1"));
  const std::string by_tag = peer.host() + "/team/tools:v1";
  EXPECT_EQ(world.fetch("bundles", {{"bundle", by_tag}, {"name", "x"}}), task_named("x"));
  EXPECT_THAT(world.error("bundles", {{"bundle", peer.host() + "/team/tools:v2"}, {"name", "x"}}).message(),
              HasSubstr("has no bundle"));
  peer.end();
  const std::string by_digest = peer.host() + "/team/tools@" + pushed.digest.text();
  EXPECT_EQ(world.fetch("bundles", {{"bundle", by_digest}, {"name", "x"}}), task_named("x"));
}

TEST_F(Bundles, ASilentRegistryIsGivenUpAfterTheTimeLimit) {
  SilentPeer peer;
  world.options.time_limit = std::chrono::milliseconds(40);
  const Error error = world.error("bundles", {{"bundle", peer.authority() + "/x"}, {"name", "x"}});
  EXPECT_EQ(error.kind(), ErrorKind::TimedOut);
}

}  // namespace
}  // namespace kiln::resolvers
