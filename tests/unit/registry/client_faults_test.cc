// What a registry may do wrong while an image is pushed or pulled.
#include <atomic>
#include <cstdlib>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "tests/unit/registry/bad_registry.h"

namespace kiln::registry {
namespace {

using testing::HasSubstr;

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

TEST(Client, AnUploadGoesOnBehindWhatHasArrived) {
  std::atomic<int> broken{0};
  std::mutex mutex;
  std::vector<std::string> parts;
  FaultyRegistry remote([&](HttpExchange& exchange) -> Awaitable<bool> {
    const bool honest = exchange.headers().has("X-Honest") || exchange.method() == "GET";
    if (exchange.path().find("/blobs/uploads/") == std::string_view::npos || honest) co_return false;
    if (exchange.method() == "PATCH") {
      const std::lock_guard lock(mutex);
      parts.emplace_back(exchange.header("Content-Range"));
    }
    const auto length = exchange.content_length();
    if (exchange.method() == "POST" || length.value_or(0) < 100'000 || broken++ >= 2) co_return false;
    // Half of it arrives.
    const std::string body = co_await exchange.read_all();
    HttpRequest half{.method = "PATCH", .body = HttpBody::of_text(body.substr(0, body.size() / 2))};
    half.url = "http://" + remote.host() + std::string(exchange.path());
    half.headers.add("X-Honest", "yes");
    const auto forward = [&] { return HttpClient().send(half).status; };
    EXPECT_EQ(co_await exchange.on_pool(forward), 202);
    throw std::runtime_error("the cable was pulled");
  });
  TempDir dir;
  Store store(dir.path());
  const std::string tar = TarBuilder().file("f", std::string(500'000, 'x')).finish();
  const Image image = make_image(store, {tar});
  Client client(impatient());
  client.push(store, image.descriptor, Reference::parse(remote.host() + "/x"));
  EXPECT_NO_THROW(remote.store.verify(image.manifest.layers[0].digest));
  const size_t half = tar.size() / 2, more = half + (tar.size() - half) / 2;
  const std::string last = "-" + std::to_string(tar.size() - 1);
  EXPECT_EQ(parts, (std::vector{std::to_string(half) + last, std::to_string(more) + last}));
}

TEST(Client, AnUploadThatIsGivenUpIsTakenBack) {
  std::atomic<int> begun{0}, removed{0};
  FaultyRegistry remote([&](HttpExchange& exchange) -> Awaitable<bool> {
    if (exchange.method() == "POST") ++begun;
    if (exchange.method() == "DELETE") ++removed;
    if (exchange.method() != "PUT") co_return false;
    co_await exchange.respond(503, {}, "");
    co_return true;
  });
  TempDir dir;
  Store store(dir.path());
  const Image image = make_image(store, {some_tar("a")});
  Client::Options options = impatient();
  options.connections = 1;
  EXPECT_THROW(Client(options).push(store, image.descriptor, Reference::parse(remote.host() + "/x")), Error);
  EXPECT_GT(begun, 0);
  EXPECT_EQ(begun, removed);
}

TEST(Client, SaysThatSchema1IsNotSupported) {
  FaultyRegistry remote([&](HttpExchange& exchange) -> Awaitable<bool> {
    if (exchange.path().find("/manifests/") == std::string_view::npos) co_return false;
    HttpHeaders headers;
    headers.add("Content-Type", "application/vnd.docker.distribution.manifest.v1+prettyjws");
    headers.add("Docker-Content-Digest", sha256("without its signature").text());
    co_await exchange.respond(200, std::move(headers), R"({"schemaVersion":1,"fsLayers":[],"history":[]})");
    co_return true;
  });
  Client client(impatient());
  const Error error = error_of([&] { client.fetch_manifest(Reference::parse(remote.host() + "/x")); });
  EXPECT_THAT(error.full(), HasSubstr("schema 1 only, which is not supported"));
}

TEST(Client, RetriesWhateverTheRegistryIsCalled) {
  ::setenv("https_proxy", "http://127.0.0.1:1", 1);
  const OnExit restore([] { ::unsetenv("https_proxy"); });
  Client client(impatient());
  const Error error = error_of([&] { client.fetch_manifest(Reference::parse("registry:443/x")); });
  EXPECT_THAT(error.full(), HasSubstr("3 attempts"));
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

}  // namespace
}  // namespace kiln::registry
