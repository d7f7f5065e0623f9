#include "registry/client.h"

#include <atomic>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/error.h"
#include "base/text.h"
#include "registry/client/challenge.h"
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

TEST(Client, ARegistryThatIsDownIsUnavailableAfterRetries) {
  std::string host;
  {
    TestRegistry gone;
    host = gone.host();
  }
  TempDir dir;
  Store store(dir.path());
  Client client(impatient());
  const Reference reference = Reference::parse(host + "/x");
  const Image image = make_image(store, {some_tar("a")});
  const auto pull = [&] { client.pull(reference, store); };
  const auto push = [&] { client.push(store, image.descriptor, reference); };
  for (const std::function<void()>& action : {std::function<void()>(pull), std::function<void()>(push)}) {
    const Error error = error_of(action);
    EXPECT_EQ(error.kind(), ErrorKind::Unavailable);
    EXPECT_THAT(error.full(), HasSubstr("registry " + host + " did not answer (3 attempts)"));
    EXPECT_EQ(error.full().find("did not answer"), error.full().rfind("did not answer")) << "said once";
    EXPECT_FALSE(error.hint().empty());
  }
}

TEST(Client, SaysWhatIsMissing) {
  TestRegistry remote;
  TempDir dir;
  Store store(dir.path());
  Client client(impatient());
  const Error error = error_of([&] { client.pull(Reference::parse(remote.host() + "/nope:v9"), store); });
  EXPECT_EQ(error.kind(), ErrorKind::NotFound);
  EXPECT_THAT(error.message(), HasSubstr(remote.host() + "/nope:v9"));
  EXPECT_EQ(error_of([&] { client.pull(Reference::parse("kiln/build"), store); }).kind(),
            ErrorKind::NotFound);
}

TEST(Client, ResumesABrokenDownload) {
  std::atomic<int> broken{0};
  std::atomic<bool> resumed{false};
  FaultyRegistry remote([&](HttpExchange& exchange) -> Awaitable<bool> {
    if (exchange.method() != "GET" || exchange.path().find("/blobs/") == std::string_view::npos)
      co_return false;
    if (exchange.headers().has("Range")) resumed = true;
    if (broken++ > 0) co_return false;
    const auto digest = Digest::parse(exchange.path().substr(exchange.path().rfind('/') + 1));
    const std::string bytes = remote.store.read(*digest);
    co_await exchange.begin(200, {}, bytes.size());
    co_await exchange.write(std::string_view(bytes).substr(0, bytes.size() / 2));
    throw std::runtime_error("the cable was pulled");
  });
  const Image image = make_image(remote.store, {some_tar("a")});
  remote.store.tag("x:latest", image.descriptor);
  TempDir dir;
  Store store(dir.path());
  Client::Options options = impatient();
  options.connections = 1;
  Client(options).pull(Reference::parse(remote.host() + "/x"), store);
  EXPECT_TRUE(resumed);
  EXPECT_NO_THROW(store.verify(image.manifest.layers[0].digest));
}

TEST(Client, RetriesWhatIsBusyAndBroken) {
  std::mutex mutex;
  std::map<std::string, int> asked;  // the first request with each method fails, and so does every third
  FaultyRegistry remote([&](HttpExchange& exchange) -> Awaitable<bool> {
    int count;
    {
      std::lock_guard lock(mutex);
      count = asked[std::string(exchange.method())]++;
    }
    if (count % 3 != 0) co_return false;
    HttpHeaders headers;
    headers.add("Retry-After", "0");
    co_await exchange.respond(exchange.method() == "HEAD" ? 429 : 503, std::move(headers), "");
    co_return true;
  });
  TempDir dir;
  Store store(dir.path());
  const Image image = make_image(store, {some_tar("a")});
  Client::Options options = impatient();
  options.connections = 1;
  options.retries.attempts = 6;
  Client client(options);
  client.push(store, image.descriptor, Reference::parse(remote.host() + "/x"));
  EXPECT_TRUE(remote.store.resolve("x:latest"));
}

TEST(Client, NeverTakesContentThatIsNotItsDigest) {
  FaultyRegistry remote([&](HttpExchange& exchange) -> Awaitable<bool> {
    if (exchange.path().find("/blobs/") == std::string_view::npos) co_return false;
    const auto digest = Digest::parse(exchange.path().substr(exchange.path().rfind('/') + 1));
    std::string bytes = remote.store.read(*digest);
    bytes[bytes.size() / 2] ^= 1;
    co_await exchange.respond(200, {}, bytes);
    co_return true;
  });
  const Image image = make_image(remote.store, {some_tar("a")});
  remote.store.tag("x:latest", image.descriptor);
  TempDir dir;
  Store store(dir.path());
  EXPECT_EQ(error_of([&] { Client(impatient()).pull(Reference::parse(remote.host() + "/x"), store); }).kind(),
            ErrorKind::Infrastructure);
  EXPECT_FALSE(store.has(image.manifest.layers[0].digest));
}

TEST(Client, ADateThatIsOverIsNoWait) {
  std::atomic<int> asked = 0;
  FaultyRegistry remote([&](HttpExchange& exchange) -> Awaitable<bool> {
    if (asked++ > 0) co_return false;
    HttpHeaders headers;
    headers.add("Retry-After", "Fri, 31 Dec 1999 23:59:59 GMT");
    co_await exchange.respond(503, std::move(headers), "");
    co_return true;
  });
  const Image image = make_image(remote.store, {some_tar("a")});
  remote.store.tag("x:latest", image.descriptor);
  TempDir dir;
  Store store(dir.path());
  EXPECT_NO_THROW(Client(impatient()).pull(Reference::parse(remote.host() + "/x"), store));
}

TEST(Client, APartThatWasNotAskedForStartsTheDownloadAnew) {
  std::mutex mutex;
  std::vector<std::string> ranges;
  FaultyRegistry remote([&](HttpExchange& exchange) -> Awaitable<bool> {
    if (exchange.path().find("/blobs/") == std::string_view::npos) co_return false;
    const std::string range(exchange.header("Range"));
    size_t count;
    {
      std::lock_guard lock(mutex);
      ranges.push_back(range);
      count = ranges.size();
    }
    const std::string bytes =
        remote.store.read(*Digest::parse(exchange.path().substr(exchange.path().rfind('/') + 1)));
    if (count == 1) {  // breaks off
      co_await exchange.begin(200, {}, bytes.size());
      co_await exchange.write(std::string_view(bytes).substr(0, 100));
      throw Error(ErrorKind::Failed, "cut");
    }
    if (range.empty()) co_return false;
    HttpHeaders headers;
    headers.add("Content-Range",
                "bytes 7-" + std::to_string(bytes.size() - 1) + "/" + std::to_string(bytes.size()));
    co_await exchange.respond(206, std::move(headers), std::string_view(bytes).substr(7));
    co_return true;
  });
  const Image image = make_image(remote.store, {some_tar("a")});
  remote.store.tag("x:latest", image.descriptor);
  TempDir dir;
  Store store(dir.path());
  Client::Options options = impatient();
  options.connections = 1;
  options.retries.attempts = 4;
  Client(options).pull(Reference::parse(remote.host() + "/x"), store);
  EXPECT_NO_THROW(store.verify(image.manifest.layers[0].digest));
  std::lock_guard lock(mutex);
  EXPECT_EQ(ranges.at(1), "bytes=100-");
  EXPECT_EQ(ranges.at(2), "");
}

TEST(Client, AHugeConfigurationIsNotFetched) {
  std::atomic<int> blobs = 0;
  FaultyRegistry remote([&](HttpExchange& exchange) -> Awaitable<bool> {
    if (exchange.path().find("/blobs/") != std::string_view::npos) ++blobs;
    co_return false;
  });
  const Image image = make_image(remote.store, {some_tar("a")});
  auto manifest = nlohmann::json::parse(remote.store.read(image.descriptor.digest));
  manifest["config"]["size"] = int64_t{1} << 40;
  remote.store.tag("x:latest", remote.store.put(manifest.dump(), media::kManifest));
  TempDir dir;
  Store store(dir.path());
  const Error error =
      error_of([&] { Client(impatient()).pull(Reference::parse(remote.host() + "/x"), store); });
  EXPECT_THAT(error.full(), HasSubstr("is said to have"));
  EXPECT_EQ(blobs, 0);
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

TEST(Images, ComeFromTheStoreFirst) {
  TestRegistry remote;
  TempDir dir;
  Store store(dir.path());
  Client client(impatient());
  const Images images(store, client);
  const Image local = make_image(store, {some_tar("a")}, "local");
  store.tag("kiln/build:latest", local.descriptor);
  EXPECT_EQ(images.get("kiln/build").descriptor.digest, local.descriptor.digest);
  const Error missing = error_of([&] { images.get("kiln/run-node"); });
  EXPECT_EQ(missing.kind(), ErrorKind::NotFound);
  EXPECT_THAT(missing.hint(), HasSubstr("kiln stack create"));

  const Image first = make_image(remote.store, {some_tar("b")}, "first");
  remote.store.tag("app:v1", first.descriptor);
  const std::string name = remote.host() + "/app:v1";
  EXPECT_EQ(error_of([&] { images.get(name, PullPolicy::Never); }).kind(), ErrorKind::NotFound);
  EXPECT_EQ(images.get(name).descriptor.digest, first.descriptor.digest);
  const Image second = make_image(remote.store, {some_tar("c")}, "second");
  remote.store.tag("app:v1", second.descriptor);
  EXPECT_EQ(images.get(name).descriptor.digest, first.descriptor.digest);
  EXPECT_EQ(images.get(name, PullPolicy::Always).descriptor.digest, second.descriptor.digest);
  EXPECT_EQ(images.get(name + "@" + first.descriptor.digest.text()).descriptor.digest,
            first.descriptor.digest);
  // A lost layer is fetched again.
  store.remove_blob(second.manifest.layers[0].digest);
  images.get(name);
  EXPECT_TRUE(store.has(second.manifest.layers[0].digest));
}

TEST(Credentials, TheMostSpecificKeyWins) {
  TempDir home;
  const auto auth = [](const std::string& user) {
    return R"({"auth":")" + base64_encode(user + ":p:w") + "\"}";
  };
  make_dirs(home.path() / ".docker");
  write_file(home.path() / ".docker/config.json", R"({"auths":{"r.io":)" + auth("host") + R"(,"r.io/team":)" +
                                                      auth("team") + R"(,"r.io/team/app":)" + auth("app") +
                                                      R"(,"https://index.docker.io/v1/":)" + auth("hub") +
                                                      R"(,"t.io":{"identitytoken":"tok"}}})");
  const CredentialFiles files({{"HOME", home.path().string()}});
  EXPECT_EQ(files.find("r.io", "team/app").username, "app");
  EXPECT_EQ(files.find("r.io", "team/app").password, "p:w");
  EXPECT_EQ(files.find("r.io", "team/other").username, "team");
  EXPECT_EQ(files.find("r.io", "x").username, "host");
  EXPECT_EQ(files.find("docker.io", "library/alpine").username, "hub");
  EXPECT_EQ(files.find("t.io", "x").identity_token, "tok");
  EXPECT_TRUE(files.find("other.io", "x").empty());
  // podman's file goes first
  make_dirs(home.path() / "run/containers");
  write_file(home.path() / "run/containers/auth.json", R"({"auths":{"r.io":)" + auth("podman") + "}}");
  const CredentialFiles both(
      {{"HOME", home.path().string()}, {"XDG_RUNTIME_DIR", (home.path() / "run").string()}});
  EXPECT_EQ(both.find("r.io", "team/app").username, "podman");
}

TEST(Credentials, NoneAreLostWhenManyAreSavedAtOnce) {
  TempDir home;
  const CredentialFiles files({{"HOME", home.path().string()}});
  const auto host = [](int writer, int i) { return "r" + std::to_string(writer * 10 + i) + ".example"; };
  {
    std::vector<std::jthread> writers;
    for (int writer = 0; writer < 4; ++writer)
      writers.emplace_back([&, writer] {
        for (int i = 0; i < 10; ++i) files.save(host(writer, i), {"me", "pw", {}});
        files.erase(host(writer, 0));
      });
  }
  for (int writer = 0; writer < 4; ++writer)
    for (int i = 0; i < 10; ++i)
      EXPECT_EQ(files.find(host(writer, i), "x").empty(), i == 0) << host(writer, i);
}

TEST(Credentials, AreSavedAndErasedWithoutTouchingTheRest) {
  TempDir home;
  const CredentialFiles files({{"HOME", home.path().string()}});
  make_dirs(home.path() / ".docker");
  write_file(home.path() / ".docker/config.json", R"({"experimental":"on"})");
  files.save("r.io", {"me", "pw", {}});
  files.save("docker.io", {"hub", "pw", {}});
  EXPECT_EQ(files.find("r.io", "x").password, "pw");
  EXPECT_EQ(files.find("index.docker.io", "x").username, "hub");
  EXPECT_TRUE(files.erase("r.io"));
  EXPECT_FALSE(files.erase("r.io"));
  EXPECT_THAT(read_file(home.path() / ".docker/config.json"), HasSubstr("experimental"));
}

TEST(Credentials, HelpersAreAskedFirst) {
  TempDir home;
  write_file(home.path() / "docker-credential-test",
             "#!/bin/sh\nread key\n[ \"$key\" = r.io ] || { echo credentials not found in native keychain; "
             "exit 1; }\n"
             "echo '{\"Username\":\"<token>\",\"Secret\":\"refresh\"}'\n",
             0755);
  make_dirs(home.path() / ".docker");
  write_file(home.path() / ".docker/config.json", R"({"credsStore":"test"})");
  const char* path = ::getenv("PATH");
  const std::string before = path ? path : "";
  ::setenv("PATH", (home.path().string() + ":" + before).c_str(), 1);
  const OnExit restore([&] { ::setenv("PATH", before.c_str(), 1); });
  const CredentialFiles files({{"HOME", home.path().string()}, {"PATH", before}});
  EXPECT_EQ(files.find("r.io", "x").identity_token, "refresh");
  EXPECT_TRUE(files.find("other.io", "x").empty());
}

TEST(Challenges, AreReadAsServersWriteThem) {
  const auto challenges =
      parse_challenges(R"(Bearer realm="https://a/t?x=1,2",service=reg, scope="a\"b" , Basic realm=x)");
  ASSERT_EQ(challenges.size(), 2u);
  EXPECT_EQ(challenges[0].scheme, "bearer");
  EXPECT_EQ(challenges[0].parameters.at("realm"), "https://a/t?x=1,2");
  EXPECT_EQ(challenges[0].parameters.at("scope"), "a\"b");
  EXPECT_EQ(challenges[1].scheme, "basic");
  EXPECT_TRUE(parse_challenges("\"").empty());
}

}  // namespace
}  // namespace kiln::registry
