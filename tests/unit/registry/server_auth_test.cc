// Who may do what, as clients see it: challenges, passwords, tokens, rights.
#include "registry/server/server_auth.h"

#include <crypt.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/text.h"
#include "tests/unit/registry/fixtures.h"

namespace kiln::registry {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

std::string line(const std::string& user, const std::string& password) {
  crypt_data room{};
  return user + ":" + ::crypt_r(password.c_str(), "$2b$04$abcdefghijklmnopqrstuu", &room) + "\n";
}

std::string basic(const std::string& user, const std::string& password) {
  return "Basic " + base64_encode(user + ":" + password);
}

class Auth : public testing::Test {
 protected:
  RegistryServer::Options options() {
    write_file(users_, line("alice", "a") + line("bob", "b"));
    RegistryServer::Options options;
    options.settings.htpasswd = users_;
    options.settings.access = {{{"alice"}, {"team/**"}, true, true, true, false},
                               {{"alice", "bob"}, {"shared"}, true, false, false, true},
                               {{AccessRule::kAnonymous}, {"public"}, true, false, false, false}};
    options.clock = &clock_;
    return options;
  }
  HttpResponse ask(std::string method, std::string_view target, const std::string& authorization = {},
                   std::string body = {}, std::string type = std::string(media::kIndex)) {
    HttpHeaders headers{{"Content-Type", std::move(type)}};
    if (!authorization.empty()) headers.add("Authorization", authorization);
    return client_.send({.method = std::move(method),
                         .url = registry_.url(target),
                         .headers = std::move(headers),
                         .body = HttpBody::of_text(std::move(body))});
  }
  static std::string code(const HttpResponse& response) {
    const json document = json::parse(response.body, nullptr, false);
    return document.is_object() ? document["errors"][0]["code"].get<std::string>() : "no error document";
  }
  std::string bearer(const std::string& query, const std::string& authorization = {}) {
    const HttpResponse response = ask("GET", "/v2/token?" + query, authorization);
    EXPECT_EQ(response.status, 200) << response.body;
    return "Bearer " + json::parse(response.body).at("token").get<std::string>();
  }
  json form(const std::string& body, int status = 200) {
    const HttpResponse response = ask("POST", "/v2/token", {}, body, "application/x-www-form-urlencoded");
    EXPECT_EQ(response.status, status) << response.body;
    return json::parse(response.body);
  }
  int push(const std::string& repository, const std::string& authorization) {
    return ask("PUT", "/v2/" + repository + "/manifests/v1", authorization, kIndex).status;
  }

  static constexpr const char* kIndex = R"({"schemaVersion":2,"manifests":[]})";
  const std::string alice_ = basic("alice", "a"), bob_ = basic("bob", "b");
  TempDir dir_;
  const fs::path users_ = dir_.path() / "users";
  ManualClock clock_{Time(std::chrono::seconds(1'000'000))};
  TestRegistry registry_{options()};
  HttpClient client_;
};

TEST_F(Auth, WhoComesWithoutCredentialsIsToldHowToBringThem) {
  const HttpResponse ping = ask("GET", "/v2/");
  EXPECT_EQ(ping.status, 401);
  EXPECT_EQ(code(ping), "UNAUTHORIZED");
  const auto challenges = ping.headers.all("WWW-Authenticate");
  ASSERT_EQ(challenges.size(), 2u);
  EXPECT_EQ(challenges[0],
            "Bearer realm=\"" + registry_.url("/v2/token") + "\",service=\"" + registry_.host() + "\"");
  EXPECT_THAT(std::string(challenges[1]), HasSubstr("Basic realm="));
  const HttpResponse push = ask("POST", "/v2/team/app/blobs/uploads/?mount=sha256:x&from=shared");
  EXPECT_EQ(push.status, 401);
  EXPECT_THAT(std::string(push.headers.get("WWW-Authenticate")),
              HasSubstr("scope=\"repository:team/app:pull,push repository:shared:pull\""));
}

TEST_F(Auth, PasswordsOpenWhatTheirUserMay) {
  EXPECT_EQ(ask("GET", "/v2/", alice_).status, 200);
  EXPECT_EQ(ask("GET", "/v2/", basic("alice", "b")).status, 401);
  EXPECT_EQ(ask("GET", "/v2/", basic("nobody", "a")).status, 401);
  for (const char* malformed :
       {"Basic", "Basic ", "Basic !", "Basic YWxpY2U=", "Digest x", "Bearer", "Bearer x.y.z", "x"})
    EXPECT_EQ(ask("GET", "/v2/", malformed).status, 401) << malformed;
  EXPECT_EQ(push("team/app", alice_), 201);
  EXPECT_EQ(ask("GET", "/v2/team/app/manifests/v1", alice_).status, 200);
  const HttpResponse denied = ask("GET", "/v2/team/app/manifests/v1", bob_);
  EXPECT_EQ(denied.status, 403);
  EXPECT_EQ(code(denied), "DENIED");
  EXPECT_EQ(push("shared", alice_), 403);
  EXPECT_EQ(ask("DELETE", "/v2/shared/manifests/v1", alice_).status, 403);
  EXPECT_EQ(ask("DELETE", "/v2/team/app/manifests/v1", alice_).status, 202);
  EXPECT_EQ(ask("GET", "/v2/secret/manifests/v1", bob_).status, 403) << "there or not";
}

TEST_F(Auth, AnonymousMayWhatIsGivenToAnonymous) {
  registry_.store.tag("public:v1", registry_.store.put(kIndex, media::kIndex));
  registry_.store.tag("shared:v1", registry_.store.put(kIndex, media::kIndex));
  EXPECT_EQ(ask("GET", "/v2/public/manifests/v1").status, 200);
  EXPECT_EQ(ask("GET", "/v2/public/manifests/v1", bob_).status, 200);
  EXPECT_EQ(ask("GET", "/v2/public/tags/list").status, 200);
  EXPECT_EQ(push("public", {}), 401);
  EXPECT_EQ(ask("GET", "/v2/shared/manifests/v1").status, 401);
  EXPECT_EQ(ask("GET", "/v2/_catalog").status, 401);
  const std::string token = bearer("service=x&scope=repository:public:pull,push");
  EXPECT_EQ(ask("GET", "/v2/", token).status, 200);
  EXPECT_EQ(ask("GET", "/v2/public/manifests/v1", token).status, 200);
  EXPECT_EQ(push("public", token), 401);
}

TEST_F(Auth, TheCatalogShowsWhatTheCallerMayPull) {
  for (const char* name : {"team/app:v1", "shared:v1", "public:v1", "secret:v1"})
    registry_.store.tag(name, registry_.store.put(kIndex, media::kIndex));
  EXPECT_EQ(json::parse(ask("GET", "/v2/_catalog", bob_).body)["repositories"], (json{"public", "shared"}));
  EXPECT_EQ(json::parse(ask("GET", "/v2/_catalog", alice_).body)["repositories"],
            (json{"public", "shared", "team/app"}));
  const std::string token = bearer("scope=registry:catalog:*", bob_);
  EXPECT_EQ(json::parse(ask("GET", "/v2/_catalog", token).body)["repositories"], (json{"public", "shared"}));
  EXPECT_EQ(ask("GET", "/v2/_catalog", bearer("scope=repository:shared:pull", bob_)).status, 401);
  EXPECT_EQ(ask("GET", "/v2/team/app/tags/list", bob_).status, 403);
}

TEST_F(Auth, TokensAreGoodForWhatWasAskedAndAllowed) {
  const std::string token =
      bearer("scope=repository:team/app:pull,push&scope=repository:shared:pull,push", alice_);
  EXPECT_EQ(push("team/app", token), 201);
  EXPECT_EQ(push("team/other", token), 401) << "not asked for, but would be given";
  EXPECT_EQ(push("shared", token), 403);
  EXPECT_EQ(ask("DELETE", "/v2/team/app/manifests/v1", token).status, 401);
  const HttpResponse narrow = ask("GET", "/v2/team/other/manifests/v1", token);
  EXPECT_THAT(std::string(narrow.headers.get("WWW-Authenticate")),
              HasSubstr("scope=\"repository:team/other:pull\",error=\"insufficient_scope\""));
  EXPECT_EQ(ask("GET", "/v2/secret/manifests/v1", bearer("scope=repository:secret:pull", bob_)).status, 403);
  clock_.advance(std::chrono::seconds(301));
  const HttpResponse expired = ask("GET", "/v2/team/app/manifests/v1", token);
  EXPECT_EQ(expired.status, 401);
  EXPECT_THAT(std::string(expired.headers.get("WWW-Authenticate")), HasSubstr("error=\"invalid_token\""));
}

TEST_F(Auth, AMountWantsATokenForItsSourceToo) {
  const std::string mount = "/v2/team/app/blobs/uploads/?mount=" + sha256("x").text() + "&from=";
  const std::string narrow = bearer("scope=repository:team/app:pull,push", alice_);
  const HttpResponse wanted = ask("POST", mount + "shared", narrow);
  EXPECT_EQ(wanted.status, 401);
  EXPECT_THAT(std::string(wanted.headers.get("WWW-Authenticate")), HasSubstr("repository:shared:pull"));
  const std::string wide = bearer("scope=repository:team/app:pull,push&scope=repository:shared:pull", alice_);
  EXPECT_EQ(ask("POST", mount + "shared", wide).status, 202) << "there is nothing to mount";
  EXPECT_EQ(ask("POST", mount + "secret", narrow).status, 202) << "no token would help: an upload";
}

TEST_F(Auth, TokensAreNotGivenForAWrongPassword) {
  EXPECT_EQ(ask("GET", "/v2/token?scope=repository:team/app:pull", basic("alice", "x")).status, 401);
  EXPECT_EQ(ask("GET", "/v2/token", "Bearer x").status, 401);
  form("grant_type=password&username=alice&password=x", 401);
  form("grant_type=client_credentials", 400);
  EXPECT_EQ(ask("DELETE", "/v2/token", alice_).status, 405);
}

TEST_F(Auth, FormsGiveTokensAndRefreshTokens) {
  const json first = form(
      "grant_type=password&client_id=test&service=x&username=alice&password=a&access_type=offline"
      "&scope=repository%3Ateam%2Fapp%3Apull%2Cpush+repository%3Ashared%3Apush");
  EXPECT_EQ(first["scope"], "repository:team/app:pull,push");
  EXPECT_EQ(first["expires_in"], 300);
  EXPECT_EQ(push("team/app", "Bearer " + first["access_token"].get<std::string>()), 201);
  const std::string refresh = first["refresh_token"].get<std::string>();
  EXPECT_EQ(ask("GET", "/v2/", "Bearer " + refresh).status, 401) << "it is for new tokens only";
  clock_.advance(std::chrono::hours(24 * 30));
  const std::string again =
      "grant_type=refresh_token&service=x&scope=repository:team/app:pull&refresh_token=" + refresh;
  const json second = form(again);
  EXPECT_EQ(second["refresh_token"], refresh);
  EXPECT_EQ(
      ask("GET", "/v2/team/app/manifests/v1", "Bearer " + second["access_token"].get<std::string>()).status,
      200);
  form("grant_type=refresh_token&refresh_token=" + second["access_token"].get<std::string>(), 401);
  EXPECT_FALSE(form("grant_type=password&username=bob&password=b").contains("refresh_token"));
  write_file_atomic(users_, line("alice", "changed"));
  form(again, 401);
}

TEST_F(Auth, ATokenEndsWithThePasswordOrTheUserItWasMadeFor) {
  const std::string scope = "scope=repository:shared:pull", target = "/v2/shared/tags/list";
  const std::string alices = bearer(scope, alice_), bobs = bearer(scope, bob_);
  const std::string anybodys = bearer("scope=repository:public:pull");
  EXPECT_EQ(ask("GET", target, alices).status, 404);
  EXPECT_EQ(ask("GET", target, bobs).status, 404);
  write_file_atomic(users_, line("alice", "changed"));
  EXPECT_EQ(ask("GET", target, alices).status, 401);
  const HttpResponse gone = ask("GET", target, bobs);
  EXPECT_EQ(gone.status, 401);
  EXPECT_THAT(std::string(gone.headers.get("WWW-Authenticate")), HasSubstr("error=\"invalid_token\""));
  EXPECT_EQ(ask("GET", "/v2/public/tags/list", anybodys).status, 404) << "nobody's password is in it";
  EXPECT_EQ(ask("GET", target, bearer(scope, basic("alice", "changed"))).status, 404);
  write_file_atomic(users_, line("alice", "a"));
  EXPECT_EQ(ask("GET", target, alices).status, 404) << "the same entry again";
}

TEST_F(Auth, OffersARefreshTokenByGetWhenAsked) {
  const json document = json::parse(ask("GET", "/v2/token?offline_token=true", alice_).body);
  form("grant_type=refresh_token&refresh_token=" + document["refresh_token"].get<std::string>());
  EXPECT_FALSE(json::parse(ask("GET", "/v2/token?offline_token=true").body).contains("refresh_token"))
      << "nobody in particular has nothing to refresh";
}

TEST_F(Auth, TheRealmCanBeAnotherName) {
  RegistryServer::Options other = options();
  other.settings.realm = "https://registry.example/v2/token";
  TestRegistry registry(std::move(other));
  EXPECT_THAT(std::string(client_.get(registry.url("/v2/")).headers.get("WWW-Authenticate")),
              HasSubstr("realm=\"https://registry.example/v2/token\""));
}

TEST_F(Auth, ManyPasswordsAtOnceAreAllAnswered) {
  std::vector<std::jthread> clients;
  std::atomic<int> right = 0, wrong = 0;
  for (int i = 0; i < 24; ++i)
    clients.emplace_back([&, i] {
      HttpClient client;
      const std::string authorization = basic("alice", i % 3 == 0 ? "a" : std::to_string(i));
      const int status = client
                             .send({.method = "GET",
                                    .url = registry_.url("/v2/"),
                                    .headers = {{"Authorization", authorization}}})
                             .status;
      ++(status == 200 ? right : wrong);
    });
  clients.clear();
  EXPECT_EQ(right, 8);
  EXPECT_EQ(wrong, 16);
}

TEST(Credentials, AreReadFromTheHeader) {
  using detail::parse_basic;
  using detail::parse_bearer;
  EXPECT_EQ(parse_basic("Basic " + base64_encode("a:b:c")),
            (std::pair<std::string, std::string>("a", "b:c")));
  EXPECT_EQ(parse_basic("bAsIc  " + base64_encode(":")), (std::pair<std::string, std::string>("", "")));
  EXPECT_EQ(parse_basic("Basic " + base64_encode("a")), std::nullopt);
  EXPECT_EQ(parse_basic("Basic " + base64_encode("a:" + std::string(2000, 'x'))), std::nullopt);
  EXPECT_EQ(parse_bearer("Bearer  x "), "x");
  EXPECT_EQ(parse_bearer("Basic x"), std::nullopt);
}

}  // namespace
}  // namespace kiln::registry
