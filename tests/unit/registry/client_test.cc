#include "registry/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <mutex>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/text.h"
#include "registry/images.h"
#include "tests/unit/registry/bad_registry.h"

namespace kiln::registry {
namespace {

using testing::HasSubstr;

TEST(Client, PushesAndPullsAnImage) {
  TestRegistry remote;
  TempDir dir;
  Store store(dir.path());
  const Image image = make_image(store, {some_tar("a"), some_tar("b"), some_tar("a")});
  Client client(impatient());
  const Reference reference = Reference::parse(remote.host() + "/team/app:v1");
  EXPECT_EQ(client.resolve(reference), std::nullopt);
  client.push(store, image.descriptor, reference);
  EXPECT_EQ(client.resolve(reference)->digest, image.descriptor.digest);

  TempDir other_dir;
  Store other(other_dir.path());
  const Image pulled = client.pull(reference, other);
  EXPECT_EQ(pulled.descriptor.digest, image.descriptor.digest);
  for (const Descriptor& layer : pulled.manifest.layers) EXPECT_NO_THROW(other.verify(layer.digest));
  EXPECT_EQ(client.fetch_blob(reference, image.manifest.config), serialize(image.config));
}

TEST(Client, MovesNothingThatIsThere) {
  TestRegistry remote;
  const Image image = make_image(remote.store, {some_tar("a")});  // built into the registry's own store
  Client client(impatient());
  std::vector<TransferEvent::Kind> kinds;
  TransferOptions options;
  options.observer = [&](const TransferEvent& event) { kinds.push_back(event.kind); };
  client.push(remote.store, image.descriptor, Reference::parse(remote.host() + "/hello"), options);
  using Kind = TransferEvent::Kind;
  EXPECT_THAT(kinds, testing::UnorderedElementsAre(Kind::Waiting, Kind::Waiting, Kind::Present, Kind::Present,
                                                   Kind::Done));
  EXPECT_EQ(remote.store.resolve("hello:latest")->digest, image.descriptor.digest);
}

TEST(Client, APullReplacesWhatWasDamagedHere) {
  TestRegistry registry;
  TempDir dir;
  Store store(dir.path());
  const Image image = make_image(store, {TarBuilder().file("f", "x").finish()});
  Client client(impatient());
  const Reference reference = Reference::parse(registry.host() + "/app:v1");
  client.push(store, image.descriptor, reference);
  for (const Digest& digest : {image.manifest.layers[0].digest, image.manifest.config.digest}) {
    const std::string right = store.read(digest, 1 << 20);
    std::string wrong = right;
    wrong[0] ^= 1;
    write_file(store.blob_path(digest), wrong);
    client.pull(reference, store, {});
    EXPECT_EQ(store.read(digest, 1 << 20), right);
  }
}

TEST(Client, APushOfADamagedLayerSaysSo) {
  TestRegistry registry;
  TempDir dir;
  Store store(dir.path());
  const Image image = make_image(store, {TarBuilder().file("f", "x").finish()});
  const fs::path layer = store.blob_path(image.manifest.layers[0].digest);
  std::string wrong = read_file(layer);
  wrong[0] ^= 1;
  write_file(layer, wrong);
  try {
    Client(impatient()).push(store, image.descriptor, Reference::parse(registry.host() + "/app:v1"));
    ADD_FAILURE() << "pushed";
  } catch (const Error& error) {
    EXPECT_THAT(error.full(), testing::HasSubstr("damaged"));
    EXPECT_EQ(error.kind(), ErrorKind::Infrastructure) << "nobody wrote something wrong";
  }
}

TEST(Client, PushesAnIndexWithItsImages) {
  TestRegistry remote;
  TempDir dir;
  Store store(dir.path());
  const Image one = make_image(store, {some_tar("1")}, "one"),
              two = make_image(store, {some_tar("2")}, "two");
  nlohmann::json index{
      {"schemaVersion", 2}, {"mediaType", media::kIndex}, {"manifests", nlohmann::json::array()}};
  for (const auto& [image, architecture] :
       {std::pair{&one, machine_architecture()}, {&two, std::string("s390x")}}) {
    Descriptor entry = image->descriptor;
    entry.os = "linux";
    entry.architecture = architecture;
    index["manifests"].push_back(to_json(entry));
  }
  const Descriptor descriptor = store.put(index.dump(), media::kIndex);
  Client client(impatient());
  const Reference reference = Reference::parse(remote.host() + "/multi:v1");
  client.push(store, descriptor, reference);
  TempDir other_dir;
  Store other(other_dir.path());
  EXPECT_EQ(client.pull(reference, other).descriptor.digest, one.descriptor.digest);
  EXPECT_EQ(client.pull(reference, other, {}, "s390x").descriptor.digest, two.descriptor.digest);
  EXPECT_EQ(error_of([&] { client.pull(reference, other, {}, "mips"); }).kind(), ErrorKind::NotFound);
}

// Asks for a token from an issuer on another port, as large registries do.
struct GuardedRegistry {
  GuardedRegistry()
      : issuer(on_free_port(), [this](HttpExchange& exchange) { return issue(exchange); }),
        remote([this](HttpExchange& exchange) { return guard(exchange); }) {}
  Awaitable<void> issue(HttpExchange& exchange) {
    const auto scopes = exchange.query_values("scope");
    {
      std::lock_guard lock(mutex);
      scope = scopes.empty() ? "" : scopes[0];
    }
    const bool known = exchange.header("Authorization") == "Basic " + base64_encode("me:secret");
    if (known)
      co_await exchange.respond_json(200, R"({"token":"granted"})");
    else
      co_await exchange.respond_json(401, R"({"errors":[{"code":"UNAUTHORIZED","message":"who are you"}]})");
  }
  Awaitable<bool> guard(HttpExchange& exchange) {
    if (exchange.header("Authorization") == "Bearer granted") co_return false;
    HttpHeaders headers;
    headers.add("WWW-Authenticate",
                "Bearer realm=\"http://" + issuer.authority() + "/token\",service=\"reg\",scope=\"x\"");
    co_await exchange.respond(401, std::move(headers), "");
    co_return true;
  }
  std::string asked_scope() {
    std::lock_guard lock(mutex);
    return scope;
  }
  std::mutex mutex;
  std::string scope;
  HttpServer issuer;
  FaultyRegistry remote;
};

TEST(Client, ARefusedTokenSaysWhatItWasFor) {
  GuardedRegistry guarded;
  TempDir dir;
  Store store(dir.path());
  const Image image = make_image(store, {some_tar("a")});
  const Reference reference = Reference::parse(guarded.remote.host() + "/team/app");
  EXPECT_THAT(error_of([&] { Client(impatient()).push(store, image.descriptor, reference); }).full(),
              HasSubstr("does not let push to team/app: UNAUTHORIZED: who are you"));
  EXPECT_THAT(error_of([&] { Client(impatient()).pull(reference, store); }).full(),
              HasSubstr("does not let pull from team/app: UNAUTHORIZED: who are you"));
}

TEST(Client, LogsInWithTheTokenFlow) {
  GuardedRegistry guarded;
  TempDir home;
  fs::create_directories(home.path() / ".docker");
  write_file(
      home.path() / ".docker/config.json",
      R"({"auths":{")" + guarded.remote.host() + R"(":{"auth":")" + base64_encode("me:secret") + R"("}}})");
  TempDir dir;
  Store store(dir.path());
  const Image image = make_image(store, {some_tar("a")});
  Client::Options options = impatient();
  const Reference reference = Reference::parse(guarded.remote.host() + "/team/x");
  const Error denied = error_of([&] { Client(options).push(store, image.descriptor, reference); });
  EXPECT_EQ(denied.kind(), ErrorKind::Infrastructure);
  EXPECT_THAT(denied.full(), HasSubstr("who are you"));
  EXPECT_THAT(denied.hint(), HasSubstr("kiln login"));
  options.environment = {{"HOME", home.path().string()}};
  Client(options).push(store, image.descriptor, reference);
  EXPECT_EQ(guarded.asked_scope(), "repository:team/x:pull,push");
  EXPECT_TRUE(guarded.remote.store.resolve("team/x:latest"));
}

TEST(Client, RedirectsDoNotCarryTheAuthorizationAway) {
  std::mutex mutex;
  std::string seen = "nothing";
  HttpServer cdn(on_free_port(), [&](HttpExchange& exchange) -> Awaitable<void> {
    {
      std::lock_guard lock(mutex);
      seen = std::string(exchange.header("Authorization"));
    }
    co_await exchange.respond(200, {}, "content");
  });
  FaultyRegistry remote([&](HttpExchange& exchange) -> Awaitable<bool> {
    HttpHeaders headers;
    if (exchange.header("Authorization").empty()) {
      headers.add("WWW-Authenticate", "Basic realm=\"x\"");
      co_await exchange.respond(401, std::move(headers), "");
    } else {
      headers.add("Location", "http://" + cdn.authority() + "/blob");
      co_await exchange.respond(307, std::move(headers), "");
    }
    co_return true;
  });
  TempDir home;
  fs::create_directories(home.path() / ".docker");
  write_file(home.path() / ".docker/config.json",
             R"({"auths":{")" + remote.host() + R"(":{"auth":")" + base64_encode("me:secret") + R"("}}})");
  Client::Options options = impatient();
  options.environment = {{"HOME", home.path().string()}};
  const Descriptor blob{"x/y", sha256("content"), 7, {}, {}, {}, {}};
  EXPECT_EQ(Client(options).fetch_blob(Reference::parse(remote.host() + "/x"), blob), "content");
  std::lock_guard lock(mutex);
  EXPECT_EQ(seen, "");
}

}  // namespace
}  // namespace kiln::registry
