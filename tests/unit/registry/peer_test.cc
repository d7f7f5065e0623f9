// Against programs other people wrote: Debian's docker-registry and skopeo, umoci.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/process.h"
#include "base/text.h"
#include "registry/copy/copy.h"
#include "registry/store/snapshots.h"
#include "tests/unit/registry/docker_registry.h"
#include "tests/unit/registry/fixtures.h"

namespace kiln::registry {
namespace {

#define NEED_PROGRAM(name) \
  if (!find_program(name)) GTEST_SKIP() << name << " is not installed (apt-get install " << name << ")"

Finished skopeo(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"skopeo", "--insecure-policy"});
  return run({.argv = std::move(arguments), .environment = {}, .directory = {}, .input = {}});
}

std::string tar_with(const std::string& salt, size_t size) {
  return TarBuilder().folder("app").file("app/" + salt, salt + std::string(size, 'y')).finish();
}

TEST(Peers, PushToAndPullFromDockerRegistry) {
  NEED_PROGRAM("docker-registry");
  DockerRegistry peer;
  ASSERT_TRUE(peer.running());
  TempDir dir;
  Store store(dir.path());
  const Image image = make_image(store, {tar_with("a", 3 << 20), tar_with("b", 100), tar_with("c", 0)});
  Client client(impatient());
  const Reference reference = Reference::parse(peer.host() + "/team/app:v1");
  client.push(store, image.descriptor, reference);
  EXPECT_EQ(client.resolve(reference)->digest, image.descriptor.digest);
  int present = 0;
  TransferOptions options;
  options.observer = [&](const TransferEvent& event) {
    present += event.kind == TransferEvent::Kind::Present;
  };
  client.push(store, image.descriptor, reference, options);
  EXPECT_EQ(present, 4);

  options.observer = {};
  options.mount_from = "team/app";
  int mounted = 0;
  options.observer = [&](const TransferEvent& event) {
    mounted += event.kind == TransferEvent::Kind::Mounted;
  };
  client.push(store, image.descriptor, Reference::parse(peer.host() + "/other/app:v1"), options);
  EXPECT_EQ(mounted, 4);

  TempDir other_dir;
  Store other(other_dir.path());
  const Image pulled = client.pull(reference, other);
  EXPECT_EQ(pulled.descriptor.digest, image.descriptor.digest);
  const auto folders = Snapshots(other).prepare(pulled);
  ASSERT_EQ(folders.size(), 3u);
  EXPECT_TRUE(fs::exists(folders[2] / "app/a"));

  const std::string host = peer.host();
  peer.end();
  try {
    client.push(store, image.descriptor, reference);
    FAIL() << "pushed to a registry that is down";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Unavailable);
    EXPECT_THAT(error.full(), testing::HasSubstr("registry " + host + " did not answer"));
  }
}

TEST(Peers, SkopeoCopiesFromAndToTheEmbeddedRegistry) {
  NEED_PROGRAM("skopeo");
  TestRegistry registry;
  const Image image = make_image(registry.store, {tar_with("a", 2 << 20), tar_with("b", 10)});
  registry.store.tag("hello:latest", image.descriptor);
  TempDir dir;
  const std::string layout = "oci:" + (dir.path() / "layout").string() + ":hello";
  Finished finished = skopeo({"copy", "--preserve-digests", "--src-tls-verify=false",
                              "docker://" + registry.host() + "/hello:latest", layout});
  ASSERT_TRUE(finished.ok()) << finished.errors;
  EXPECT_EQ(Store(dir.path() / "layout").resolve("hello")->digest, image.descriptor.digest);

  // Back in under another name and into an empty registry, so that the blobs really move.
  TestRegistry empty;
  finished = skopeo({"copy", "--preserve-digests", "--dest-tls-verify=false", layout,
                     "docker://" + empty.host() + "/again:v2"});
  ASSERT_TRUE(finished.ok()) << finished.errors;
  const auto again = empty.store.resolve("again:v2");
  ASSERT_TRUE(again);
  EXPECT_EQ(again->digest, image.descriptor.digest);
  for (const Descriptor& layer : empty.store.load(*again).manifest.layers)
    EXPECT_NO_THROW(empty.store.verify(layer.digest));
  finished = skopeo({"list-tags", "--tls-verify=false", "docker://" + empty.host() + "/again"});
  EXPECT_THAT(finished.output, testing::HasSubstr("v2"));
  finished = skopeo({"delete", "--tls-verify=false", "docker://" + empty.host() + "/again:v2"});
  EXPECT_TRUE(finished.ok()) << finished.errors;
  EXPECT_FALSE(empty.store.resolve("again:v2"));
}

// One image to every place and back, one of us writing and the other reading.
TEST(Peers, SkopeoReadsWhatWeCopyAndWritesWhatWeRead) {
  NEED_PROGRAM("skopeo");
  TestRegistry registry;
  TempDir dir;
  Store store(dir.path() / "store");
  const Image image = make_image(store, {tar_with("a", 1 << 20), tar_with("b", 10)});
  store.tag("app:v1", image.descriptor);
  Client client(impatient());
  const auto copy = [&](const std::string& from, const std::string& to) {
    const auto source = open_source(ImagePlace::parse(from), client, store);
    const auto target = open_target(ImagePlace::parse(to), client, store);
    return copy_image(*source, *target).digest;
  };
  const auto check = [](const Finished& finished, const std::string& what) {
    EXPECT_TRUE(finished.ok()) << what << ": " << finished.errors;
    return finished.output;
  };
  int number = 0;
  for (const auto& [transport, name] : {std::pair("oci:", ":n"),
                                        {"oci:", ""},
                                        {"oci-archive:", ":n"},
                                        {"oci-archive:", ""},
                                        {"docker-archive:", ":n:v1"},
                                        {"dir:", ""}}) {
    const bool is_docker = std::string_view(transport) == "docker-archive:";
    const std::string base = transport + (dir.path() / std::to_string(++number)).string();
    const std::string ours = base + "o" + name, theirs = base + "t" + name;
    EXPECT_EQ(copy("app:v1", ours), image.descriptor.digest);
    const std::string raw = check(skopeo({"inspect", "--raw", ours}), ours);
    if (is_docker) {  // it has no manifest; everybody makes one
      EXPECT_THAT(raw, testing::HasSubstr(image.manifest.config.digest.text()));
    } else {
      EXPECT_EQ(sha256(raw), image.descriptor.digest) << ours;
    }
    const std::string away = "docker://" + registry.host() + "/s" + std::to_string(number) + ":v1";
    check(skopeo({"copy", "--dest-tls-verify=false", ours, away}), away);
    std::vector<std::string> words{"copy", "oci:" + store.root().string() + ":app:v1", theirs};
    if (!is_docker) words.insert(words.begin() + 1, "--preserve-digests");  // else it compresses
    check(skopeo(words), theirs);
    const Digest back = copy(theirs, "back:v1");
    if (!is_docker) {
      EXPECT_EQ(back, image.descriptor.digest) << theirs;
    }
    EXPECT_EQ(store.load(*store.resolve("back:v1")).manifest.config.digest, image.manifest.config.digest);
  }
}

TEST(Peers, SkopeoAndUmociReadTheStoreAsItStands) {
  NEED_PROGRAM("skopeo");
  TempDir dir;
  Store store(dir.path() / "store");
  const Image image =
      make_image(store, {tar_with("a", 10), TarBuilder().file("app/.wh.a", "").file("top", "t").finish()});
  store.tag("x", image.descriptor);
  Finished finished = skopeo({"inspect", "oci:" + store.root().string() + ":x"});
  ASSERT_TRUE(finished.ok()) << finished.errors;
  EXPECT_THAT(finished.output, testing::HasSubstr(image.descriptor.digest.text()));
  NEED_PROGRAM("umoci");
  finished = run({.argv = {"umoci", "raw", "unpack", "--image", store.root().string() + ":x",
                           (dir.path() / "root").string()},
                  .environment = {},
                  .directory = {},
                  .input = {}});
  ASSERT_TRUE(finished.ok()) << finished.errors;
  EXPECT_TRUE(fs::exists(dir.path() / "root/top"));
  EXPECT_FALSE(fs::exists(dir.path() / "root/app/a"));
}

TEST(Peers, WhatSkopeoPushedToDockerRegistryIsPulled) {
  NEED_PROGRAM("skopeo");
  NEED_PROGRAM("docker-registry");
  DockerRegistry peer;
  ASSERT_TRUE(peer.running());
  TempDir dir;
  Store store(dir.path() / "a");
  const Image image = make_image(store, {tar_with("a", 1 << 20)});
  store.tag("x", image.descriptor);
  // As Docker schema 2 with compressed layers: other media types, other digests, the same files.
  const Finished finished =
      skopeo({"copy", "--format", "v2s2", "--dest-tls-verify=false", "oci:" + store.root().string() + ":x",
              "docker://" + peer.host() + "/d:1"});
  ASSERT_TRUE(finished.ok()) << finished.errors;
  Store other(dir.path() / "b");
  const Image pulled = Client(impatient()).pull(Reference::parse(peer.host() + "/d:1"), other);
  EXPECT_EQ(pulled.manifest.media_type, media::kDockerManifest);
  EXPECT_TRUE(fs::exists(Snapshots(other).prepare(pulled)[0] / "app/a"));
}

}  // namespace
}  // namespace kiln::registry
