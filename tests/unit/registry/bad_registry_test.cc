// A deliberately bad registry, one row for each way to be bad: the client must end, in a few requests, with
// an error that names the registry, and with nothing in the store that was not checked.
#include "tests/unit/registry/bad_registry.h"

#include <atomic>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <gmock/gmock.h>

namespace kiln::registry {
namespace {

using testing::HasSubstr;
using Fault = std::function<Awaitable<bool>(FaultyRegistry&, HttpExchange&)>;

bool is_blob(const HttpExchange& exchange) {
  return exchange.method() == "GET" && exchange.path().find("/blobs/") != std::string_view::npos;
}
bool is_manifest_request(const HttpExchange& exchange) {
  return exchange.method() == "GET" && exchange.path().find("/manifests/") != std::string_view::npos;
}

// Answers everything so.
Fault always(int status, const char* field = "X-None", const char* value = "") {
  return [=](FaultyRegistry&, HttpExchange& exchange) -> Awaitable<bool> {
    HttpHeaders headers;
    headers.add(field, value);
    co_await exchange.respond(status, std::move(headers), "");
    co_return true;
  };
}

// Answers requests of one method so.
Fault at(const char* method, int status, const char* field = "X-None", const char* value = "") {
  return [=](FaultyRegistry&, HttpExchange& exchange) -> Awaitable<bool> {
    if (exchange.method() != method) co_return false;
    HttpHeaders headers;
    headers.add(field, value);
    co_await exchange.respond(status, std::move(headers), "");
    co_return true;
  };
}

// Gives blobs changed.
Fault blobs(std::string (*change)(std::string)) {
  return [=](FaultyRegistry& remote, HttpExchange& exchange) -> Awaitable<bool> {
    if (!is_blob(exchange)) co_return false;
    const std::string bytes = change(remote.bytes_of(exchange));
    co_await exchange.respond(200, {}, bytes);
    co_return true;
  };
}

// Gives this for every manifest.
Fault manifests(const std::string& body) {
  return [=](FaultyRegistry&, HttpExchange& exchange) -> Awaitable<bool> {
    if (!is_manifest_request(exchange)) co_return false;
    HttpHeaders headers;
    headers.add("Content-Type", std::string(media::kManifest));
    co_await exchange.respond(200, std::move(headers), body);
    co_return true;
  };
}

Awaitable<bool> breaks_off(FaultyRegistry& remote, HttpExchange& exchange) {
  if (!is_blob(exchange)) co_return false;
  const std::string bytes = remote.bytes_of(exchange);
  co_await exchange.begin(200, {}, bytes.size());
  co_await exchange.write(std::string_view(bytes).substr(0, 100));
  throw Error(ErrorKind::Failed, "cut");
}

// One byte, and then nothing until the client has gone.
Awaitable<bool> falls_silent(FaultyRegistry& remote, HttpExchange& exchange) {
  if (!is_blob(exchange)) co_return false;
  const std::string head =
      "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(remote.bytes_of(exchange).size()) + "\r\n\r\nx";
  auto& socket = exchange.take_socket();
  co_await asio::async_write(socket, asio::buffer(head), asio::use_awaitable);
  char byte;
  co_await asio::async_read(socket, asio::buffer(&byte, 1), asio::use_awaitable);
  co_return true;
}

Awaitable<bool> lies_about_the_digest(FaultyRegistry& remote, HttpExchange& exchange) {
  if (!is_manifest_request(exchange)) co_return false;
  HttpHeaders headers;
  headers.add("Docker-Content-Digest", sha256("something else").text());
  const std::string bytes = remote.store.read(remote.store.resolve("x:latest")->digest);
  co_await exchange.respond(200, std::move(headers), bytes);
  co_return true;
}

struct Row {
  const char* name;
  bool push;
  Fault fault;
  ErrorKind kind;
  const char* says;
  int most_requests;
};

std::vector<Row> rows() {
  using K = ErrorKind;
  const std::string html = "<html>maintenance</html>";
  const std::string blob = R"("digest":")" + sha256("x").text() + R"(","mediaType":"x/y","size":)";
  return {
      {"blobs break off", false, breaks_off, K::Unavailable, "cannot pull blob", 12},
      {"blobs fall silent", false, falls_silent, K::Unavailable, "too slowly", 12},
      {"blobs end early", false, blobs([](std::string b) { return b.substr(0, b.size() / 2); }),
       K::Unavailable, "broke off", 12},
      {"blobs are longer than said", false, blobs([](std::string b) { return b + "more"; }),
       K::Infrastructure, "sends more", 8},
      {"blobs are others", false, blobs([](std::string b) { return std::string(b.size(), '!'); }),
       K::Infrastructure, "other content", 8},
      {"blobs are gone", false, blobs([](std::string) { return std::string(); }), K::Unavailable, "broke off",
       12},
      {"a manifest is not its digest", false, lies_about_the_digest, K::Infrastructure, "digest", 4},
      {"a manifest is a page", false, manifests(html), K::Infrastructure, "not JSON", 4},
      {"a manifest is empty", false, manifests(""), K::Infrastructure, "not JSON", 4},
      {"a manifest has no end", false, manifests("{" + std::string(5 << 20, ' ') + "}"), K::Infrastructure,
       "larger than 4 MiB", 4},
      {"a manifest is two things", false, manifests(R"({"schemaVersion":2,"config":{},"manifests":[]})"),
       K::Infrastructure, "malformed", 4},
      {"a size is negative", false, manifests("{\"config\":{" + blob + "-1}}"), K::Infrastructure, "size", 4},
      {"a size is beyond belief", false, manifests("{\"config\":{" + blob + "99999999999999999999}}"),
       K::Infrastructure, "malformed", 4},
      {"a configuration is huge", false, manifests("{\"config\":{" + blob + "1099511627776}}"),
       K::Infrastructure, "is said to have", 4},
      {"a digest climbs", false,
       manifests(R"({"config":{"digest":"sha256:../../x","mediaType":"x/y","size":1}})"), K::Infrastructure,
       "not well-formed", 4},
      {"busy for ever", false, always(429, "Retry-After", "0"), K::Unavailable, "does not serve", 4},
      {"busy for an hour", false, always(429, "Retry-After", "3600"), K::Unavailable, "asks to wait for", 1},
      {"busy until 2100", false, always(503, "Retry-After", "Fri, 31 Dec 2100 23:59:59 GMT"), K::Unavailable,
       "asks to wait for", 1},
      {"busy for longer than there is time", false, always(429, "Retry-After", "99999999999999999999"),
       K::Unavailable, "asks to wait for", 1},
      {"broken for ever", false, always(500), K::Unavailable, "does not serve", 4},
      {"no to everybody", false, always(403), K::Infrastructure, "kiln login", 2},
      {"who are you, without a way to say", false, always(401), K::Infrastructure, "kiln login", 2},
      {"tokens from where clouds keep keys", false,
       always(401, "WWW-Authenticate", "Bearer realm=\"http://169.254.169.254/token\""), K::Infrastructure,
       "for a token", 2},
      {"tokens from nowhere", false, always(401, "WWW-Authenticate", "Bearer realm=\"::\""),
       K::Infrastructure, "no URL", 2},
      {"away to where clouds keep keys", false, always(307, "Location", "http://169.254.1.1/meta-data"),
       K::Infrastructure, "redirects", 1},
      {"away to a link-local name of IPv6", false, always(307, "Location", "http://[fe80::1]/x"),
       K::Infrastructure, "redirects", 1},
      {"away to a number", false, always(307, "Location", "http://0xa9fe0101/"), K::Infrastructure,
       "redirects", 1},
      {"away to a file", false, always(307, "Location", "file:///etc/passwd"), K::Infrastructure, "redirects",
       1},
      {"away in circles", false, always(307, "Location", "/v2/"), K::Infrastructure, "redirects in circles",
       8},
      {"an upload on another host", true, at("POST", 202, "Location", "http://169.254.169.254/"),
       K::Infrastructure, "another host", 8},
      {"an upload without a place", true, at("POST", 202), K::Infrastructure, "start of an upload", 8},
      {"an upload that is sent away", true, at("PUT", 307, "Location", "http://127.0.0.2/"),
       K::Infrastructure, "redirects a PUT", 12},
      {"uploads are too large", true, at("PUT", 413), K::Infrastructure, "413", 12},
      {"uploads break", true, at("PUT", 500), K::Unavailable, "500", 24},
      {"uploads are never allowed", true, at("POST", 403), K::Infrastructure, "push to", 8},
  };
}

// Wants a password, and then says no for a reason of its own; to HEAD without one, as HTTP has it.
TEST(BadRegistry, WhoIsLoggedInAndMayNotPushHearsWhy) {
  FaultyRegistry remote([](HttpExchange& exchange) -> Awaitable<bool> {
    HttpHeaders headers;
    int status = 403;
    std::string why = R"({"errors":[{"code":"DENIED","message":"the team's quota is used up"}]})";
    if (exchange.header("Authorization").empty()) {
      status = 401;
      why.clear();
      headers.add("WWW-Authenticate", "Basic realm=\"test\"");
    }
    co_await exchange.respond(status, std::move(headers), why);
    co_return true;
  });
  TempDir dir, home;
  Store store(dir.path());
  const Image image = make_image(store, {some_tar("a")});
  Client::Options options = impatient();
  options.environment = {{"HOME", home.path().string()}};
  CredentialFiles(options.environment).save(remote.host(), {"me", "pw", {}});
  Client client(options);
  const Error error =
      error_of([&] { client.push(store, image.descriptor, Reference::parse(remote.host() + "/x")); });
  EXPECT_EQ(error.kind(), ErrorKind::Infrastructure);
  EXPECT_THAT(error.full(), HasSubstr("the team's quota is used up"));
  EXPECT_THAT(error.hint(), HasSubstr("you are logged in"));
}

TEST(BadRegistry, ATagThatStaysAsItIsHasANextStep) {
  FaultyRegistry remote([](HttpExchange& exchange) -> Awaitable<bool> {
    if (exchange.method() != "PUT" || exchange.path().find("/manifests/") == std::string_view::npos)
      co_return false;
    const std::string why = R"({"errors":[{"code":"DENIED","message":"v1 is immutable"}]})";
    co_await exchange.respond(409, {}, why);
    co_return true;
  });
  TempDir dir;
  Store store(dir.path());
  const Image image = make_image(store, {some_tar("a")});
  Client client(impatient());
  const Error error =
      error_of([&] { client.push(store, image.descriptor, Reference::parse(remote.host() + "/x:v1")); });
  EXPECT_THAT(error.full(), HasSubstr("v1 is immutable"));
  EXPECT_THAT(error.hint(), HasSubstr("another tag"));
}

TEST(BadRegistry, EndsInFewRequestsWithItsName) {
  for (const Row& row : rows()) {
    SCOPED_TRACE(row.name);
    std::atomic<int> requests = 0;
    FaultyRegistry* self = nullptr;
    FaultyRegistry remote([&](HttpExchange& exchange) -> Awaitable<bool> {
      ++requests;
      const bool answered = co_await row.fault(*self, exchange);
      co_return answered;
    });
    self = &remote;
    TempDir dir;
    Store store(dir.path());
    const Image image = make_image(row.push ? store : remote.store, {some_tar("a")});
    remote.store.tag("x:latest", image.descriptor);
    Client::Options options = impatient();
    options.http.stall_timeout = std::chrono::milliseconds(200);
    Client client(options);
    const Reference reference = Reference::parse(remote.host() + "/x");
    const Error error = error_of([&] {
      if (row.push)
        client.push(store, image.descriptor, reference);
      else
        client.pull(reference, store);
    });
    EXPECT_EQ(error.kind(), row.kind);
    EXPECT_EQ(exit_code(error.kind()), 3);
    const std::string words = error.full() + " " + error.hint();
    EXPECT_THAT(words, HasSubstr(row.says));
    if (std::string_view(row.name) != "a configuration is huge") {
      EXPECT_THAT(words, HasSubstr(remote.host()));
    }
    EXPECT_LE(requests, row.most_requests);
    if (row.push) continue;
    for (const Descriptor& layer : image.manifest.layers)
      EXPECT_TRUE(!store.has(layer.digest) || store.heal(layer.digest));
    EXPECT_FALSE(store.has(image.descriptor.digest));
  }
}

}  // namespace
}  // namespace kiln::registry
