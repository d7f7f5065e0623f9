// How registries are found and spoken to: mirrors, other locations, TLS, tokens, mounts.
#include <atomic>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <mutex>

#include "base/process.h"
#include "registry/copy/copy.h"
#include "registry/copy/store_place.h"
#include "tests/unit/registry/bad_registry.h"
#include "tests/unit/registry/docker_registry.h"

namespace kiln::registry {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string mirrored(const std::string& location, const std::string& mirror) {
  return "[[registry]]\nlocation = \"" + location + "\"\n[[registry.mirror]]\nlocation = \"" + mirror +
         "\"\n";
}

TEST(Hosts, AMirrorThatHasTheImageIsEnough) {
  TestRegistry mirror;
  const Image image = make_image(mirror.store, {some_tar("a")});
  mirror.store.tag("of/app:v1", image.descriptor);
  ClientHome home;
  home.conf(mirrored("r.invalid", mirror.host() + "/of"));
  TempDir dir;
  Store store(dir.path());
  Client client(home.options());
  EXPECT_EQ(client.pull(Reference::parse("r.invalid/app:v1"), store).descriptor.digest,
            image.descriptor.digest);
}

TEST(Hosts, AMirrorThatHasNothingOrIsDownIsPassedOver) {
  TestRegistry itself, empty;
  std::string gone;
  {
    TestRegistry down;
    gone = down.host();
  }
  const Image image = make_image(itself.store, {some_tar("a")});
  itself.store.tag("app:v1", image.descriptor);
  for (const std::string& mirror : {empty.host(), gone}) {
    ClientHome home;
    home.conf(mirrored(itself.host(), mirror));
    TempDir dir;
    Store store(dir.path());
    Client client(home.options());
    const Reference reference = Reference::parse(itself.host() + "/app:v1");
    EXPECT_EQ(client.pull(reference, store).descriptor.digest, image.descriptor.digest);
    EXPECT_EQ(client.resolve(reference)->digest, image.descriptor.digest);
    const Error error =
        error_of([&] { client.pull(Reference::parse(itself.host() + "/nothing:v1"), store); });
    EXPECT_THAT(error.full(), HasSubstr("its mirror: registry " + mirror));
  }
}

TEST(Hosts, ABlockedRegistryIsNotAsked) {
  std::atomic<int> asked = 0;
  FaultyRegistry remote([&](HttpExchange&) -> Awaitable<bool> {
    ++asked;
    co_return false;
  });
  ClientHome home;
  home.conf("[[registry]]\nlocation = \"" + remote.host() + "\"\nblocked = true\n");
  TempDir dir;
  Store store(dir.path());
  const Error error =
      error_of([&] { Client(home.options()).pull(Reference::parse(remote.host() + "/x"), store); });
  EXPECT_THAT(error.full(), HasSubstr("blocked"));
  EXPECT_EQ(asked, 0);
}

// Gives tokens that say how long they live, and remembers what they were asked for.
struct TokenIssuer {
  explicit TokenIssuer(std::string given)
      : answer(std::move(given)),
        issuer(on_free_port(), [this](HttpExchange& exchange) { return issue(exchange); }),
        remote([this](HttpExchange& exchange) { return guard(exchange); }) {}
  Awaitable<void> issue(HttpExchange& exchange) {
    {
      std::lock_guard lock(mutex);
      scopes.push_back(exchange.query_values("scope"));
    }
    co_await exchange.respond_json(200, answer);
  }
  Awaitable<bool> guard(HttpExchange& exchange) {
    const bool refuses_head = hides_blobs && exchange.method() == "HEAD";
    if (exchange.header("Authorization") == "Bearer t") {
      if (!refuses_head) co_return false;
      co_await exchange.respond(404, {}, "");
      co_return true;
    }
    HttpHeaders headers;
    headers.add("WWW-Authenticate",
                "Bearer realm=\"http://" + issuer.authority() + "/token\",service=\"reg\"");
    co_await exchange.respond(401, std::move(headers), "");
    co_return true;
  }
  const std::string answer;
  bool hides_blobs = false;
  std::mutex mutex;
  std::vector<std::vector<std::string>> scopes;
  HttpServer issuer;
  FaultyRegistry remote;
};

TEST(Hosts, OneTokenServesAllBlobsOfATransfer) {
  TokenIssuer tokens(R"({"token":"t","expires_in":300})");
  TempDir dir;
  Store store(dir.path());
  const Image image = make_image(store, {some_tar("a"), some_tar("b"), some_tar("c"), some_tar("d")});
  Client(impatient()).push(store, image.descriptor, Reference::parse(tokens.remote.host() + "/x"));
  std::lock_guard lock(tokens.mutex);
  EXPECT_THAT(tokens.scopes, ElementsAre(ElementsAre("repository:x:pull,push")));
}

TEST(Hosts, AMountAsksForItsSource) {
  TokenIssuer tokens(R"({"access_token":"t"})");
  tokens.hides_blobs = true;
  const Image image = make_image(tokens.remote.store, {some_tar("a")});
  std::vector<TransferEvent::Kind> kinds;
  TransferOptions options;
  options.mount_from = "team/base";
  options.observer = [&](const TransferEvent& event) { kinds.push_back(event.kind); };
  Client::Options one = impatient();
  one.connections = 1;
  Client(one).push(tokens.remote.store, image.descriptor, Reference::parse(tokens.remote.host() + "/x"),
                   options);
  EXPECT_EQ(std::ranges::count(kinds, TransferEvent::Kind::Mounted), 2);
  std::lock_guard lock(tokens.mutex);
  EXPECT_THAT(tokens.scopes,
              testing::Contains(ElementsAre("repository:x:pull,push", "repository:team/base:pull")));
}

#define NEED_PROGRAM(name) \
  if (!find_program(name)) GTEST_SKIP() << name << " is not installed (apt-get install " << name << ")"

TEST(Hosts, WhatWasPulledIsMountedByALaterPush) {
  NEED_PROGRAM("docker-registry");
  DockerRegistry peer;
  ASSERT_TRUE(peer.running());
  TempDir dir;
  Store store(dir.path() / "store"), other(dir.path() / "other");
  const Image image = make_image(store, {some_tar("a"), some_tar("b")});
  Client(impatient()).push(store, image.descriptor, Reference::parse(peer.host() + "/one/app:v1"));
  Client::Options options = impatient();
  options.blob_locations = dir.path() / "cache/locations.json";
  Client(options).pull(Reference::parse(peer.host() + "/one/app:v1"), other);
  int mounted = 0;
  TransferOptions transfer;
  transfer.observer = [&](const TransferEvent& event) {
    mounted += event.kind == TransferEvent::Kind::Mounted;
  };
  Client later(options);
  later.push(other, image.descriptor, Reference::parse(peer.host() + "/two/app:v1"), transfer);
  EXPECT_EQ(mounted, 3);
}

// A certificate for 127.0.0.1, signed by itself, and a registry that uses it.
class TlsRegistry : public testing::Test {
 protected:
  void SetUp() override {
    NEED_PROGRAM("docker-registry");
    NEED_PROGRAM("openssl");
    certificate_ = (dir_.path() / "cert.pem").string();
    const std::string key = (dir_.path() / "key.pem").string();
    const Finished made =
        run({.argv = {"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                      "-nodes", "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2",
                      "-keyout", key, "-out", certificate_},
             .environment = {},
             .directory = {},
             .input = {}});
    ASSERT_TRUE(made.ok()) << made.errors;
    peer_ = std::make_unique<DockerRegistry>(certificate_, key);
    ASSERT_TRUE(peer_->running());
  }
  Digest pushed_and_pulled(const Client::Options& options) {
    TempDir dir;
    Store store(dir.path() / "a"), other(dir.path() / "b");
    const Image image = make_image(store, {some_tar("a")});
    Client client(options);
    const Reference reference = Reference::parse(peer_->host() + "/app:v1");
    client.push(store, image.descriptor, reference);
    const Digest pulled = client.pull(reference, other).descriptor.digest;
    EXPECT_EQ(pulled, image.descriptor.digest);
    return pulled;
  }

  TempDir dir_;
  std::string certificate_;
  std::unique_ptr<DockerRegistry> peer_;
  ClientHome home_;
};

TEST_F(TlsRegistry, ACertificateThatNobodyTrustsEndsItAtOnce) {
  const Error error = error_of([&] { pushed_and_pulled(home_.options()); });
  EXPECT_EQ(exit_code(error.kind()), 3);
  EXPECT_THAT(error.full(), HasSubstr("registry " + peer_->host() + " is not trusted"));
  EXPECT_THAT(error.hint(),
              HasSubstr((home_.dir.path() / "containers/certs.d" / peer_->host() / "ca.crt").string()));
}

TEST_F(TlsRegistry, IsTrustedByItsFolderOfCertificates) {
  const fs::path folder = home_.dir.path() / "containers/certs.d" / peer_->host();
  make_dirs(folder);
  write_file(folder / "ca.crt", read_file(certificate_));
  pushed_and_pulled(home_.options());
}

TEST_F(TlsRegistry, IsNotCheckedWhenItIsInsecure) {
  home_.conf("[[registry]]\nlocation = \"" + peer_->host() + "\"\ninsecure = true\n");
  pushed_and_pulled(home_.options());
}

}  // namespace
}  // namespace kiln::registry
