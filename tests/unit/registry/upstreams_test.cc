// Repositories that are another registry's: one server before another.
#include "registry/server/upstreams.h"

#include <boost/asio/steady_timer.hpp>
#include <crypt.h>
#include <future>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <latch>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/error.h"
#include "base/text.h"
#include "registry/store/scrub.h"
#include "tests/unit/registry/bad_registry.h"
#include "tests/unit/registry/policy_registry.h"

namespace kiln::registry {
namespace {

using nlohmann::json;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;

class UpstreamsTest : public testing::Test {
 protected:
  UpstreamsTest() { publish("latest", "1"); }
  ~UpstreamsTest() override { near_.reset(); }

  void start(RegistrySettings others = {}) {
    PolicySettings settings;
    settings.upstreams = {{"mirror", far_.host(), std::chrono::minutes(10)},
                          {"mirror/lib", far_.host() + "/library", std::chrono::minutes(10)}};
    near_ = std::make_unique<PolicyRegistry>(std::move(settings), std::move(others));
  }
  // An image of the upstream's repository "team/app".
  std::string publish(const std::string& tag, const std::string& salt, const std::string& layer = "layer") {
    far_.store.put("{}", media::kConfig);
    far_.store.put(layer, media::kLayer);
    const std::string bytes = manifest_of("{}", {layer}, salt);
    far_.store.tag("team/app:" + tag, far_.store.put(bytes, media::kManifest));
    return bytes;
  }
  Awaitable<bool> fault(HttpExchange& exchange) {
    {
      std::lock_guard lock(mutex_);
      asked_.push_back(std::string(exchange.method()) + " " + std::string(exchange.path()));
    }
    if (status_ != 200) {
      const std::string document = R"({"errors":[{"code":"X","message":"not today"}]})";
      co_await exchange.respond_json(status_, document);
      co_return true;
    }
    co_return false;
  }
  std::vector<std::string> asked() {
    std::lock_guard lock(mutex_);
    return std::exchange(asked_, {});
  }
  HttpResponse get(const std::string& target) { return near_->ask("GET", "/v2/" + target); }
  static std::string blob(const std::string& content) { return "/blobs/" + sha256(content).text(); }

  std::mutex mutex_;
  std::vector<std::string> asked_;
  std::atomic<int> status_ = 200;
  FaultyRegistry far_{[this](HttpExchange& exchange) { return fault(exchange); }};
  std::unique_ptr<PolicyRegistry> near_;
};

TEST_F(UpstreamsTest, BringWhatIsAskedFor) {
  start();
  const std::string bytes = far_.store.read(far_.store.resolve("team/app:latest")->digest);
  const HttpResponse manifest = get("mirror/team/app/manifests/latest");
  EXPECT_EQ(manifest.status, 200);
  EXPECT_EQ(manifest.body, bytes);
  EXPECT_EQ(manifest.headers.get("Content-Type"), media::kManifest);
  EXPECT_FALSE(near_->store.has(sha256("layer"))) << "blobs come when they are asked for";
  EXPECT_EQ(get("mirror/team/app" + blob("layer")).body, "layer");
  EXPECT_EQ(near_->ask("HEAD", "/v2/mirror/team/app" + blob("{}")).status, 200);
  asked();
  EXPECT_EQ(get("mirror/team/app/manifests/latest").body, bytes);
  EXPECT_EQ(get("mirror/team/app" + blob("layer")).body, "layer");
  EXPECT_EQ(get("mirror/team/app/manifests/" + sha256(bytes).text()).body, bytes);
  EXPECT_THAT(asked(), IsEmpty()) << "all of that is here";
  EXPECT_EQ(json::parse(get("mirror/team/app/tags/list").body)["tags"], (json{"latest"}));
}

TEST_F(UpstreamsTest, WhoOnlyLooksDoesNotWaitForABlob) {
  start();
  get("mirror/team/app/manifests/latest");
  asked();
  const std::string target = "/v2/mirror/team/app" + blob("layer");
  const HttpResponse looked = near_->ask("HEAD", target);
  EXPECT_EQ(looked.status, 200);
  EXPECT_EQ(looked.headers.get("Content-Length"), "5");
  EXPECT_EQ(looked.headers.get("Docker-Content-Digest"), sha256("layer").text());
  EXPECT_EQ(near_->ask("HEAD", "/v2/mirror/team/app" + blob("absent")).status, 404);
  EXPECT_EQ(near_->ask("HEAD", "/v2/other/app" + blob("layer")).status, 404);
  EXPECT_THAT(asked(), IsEmpty());
  EXPECT_FALSE(near_->store.has(sha256("layer")));
  EXPECT_EQ(get("mirror/team/app" + blob("layer")).body, "layer");
}

TEST_F(UpstreamsTest, WhatTheUpstreamDoesNotHaveIsNotThere) {
  start();
  const HttpResponse manifest = get("mirror/team/app/manifests/absent");
  EXPECT_EQ(manifest.status, 404);
  EXPECT_EQ(get("mirror/team/app/manifests/" + sha256("absent").text()).status, 404);
  EXPECT_EQ(get("mirror/team/app/manifests/bad!tag").status, 404);
  get("mirror/team/app/manifests/latest");
  asked();
  EXPECT_EQ(get("mirror/team/app" + blob("absent")).status, 404);
  EXPECT_FALSE(asked().empty());
  EXPECT_EQ(get("mirror/team/app" + blob("absent")).status, 404);
  EXPECT_THAT(asked(), IsEmpty()) << "not at once again";
  EXPECT_EQ(get("mirror/team/app/blobs/sha256:zz").status, 404);
  EXPECT_EQ(get("mirror/manifests/latest").status, 404) << "the prefix itself is nobody's copy";
  EXPECT_EQ(get("mirrors/app/manifests/latest").status, 404);
  EXPECT_THAT(asked(), IsEmpty());
}

TEST_F(UpstreamsTest, BringABlobWhoseManifestCameAnotherWay) {
  start();
  EXPECT_EQ(get("mirror/team/app" + blob("layer")).body, "layer");
  EXPECT_EQ(asked(), (std::vector<std::string>{"HEAD /v2/team/app" + blob("layer"),
                                               "GET /v2/team/app" + blob("layer")}));
  EXPECT_EQ(get("mirror/team/app" + blob("layer")).body, "layer");
  EXPECT_THAT(asked(), IsEmpty()) << "it is here";
  far_.store.put("precious", media::kLayer);
  write_file(far_.store.blob_path(sha256("precious")), "tampered");
  EXPECT_NE(get("mirror/team/app" + blob("precious")).status, 200);
  status_ = 500;
  EXPECT_EQ(get("mirror/team/app" + blob("{}")).status, 503);
}

TEST_F(UpstreamsTest, WhatTheUpstreamDoesNotHaveIsNotAskedForAgainAtOnce) {
  start();
  EXPECT_EQ(get("mirror/team/app/manifests/later").status, 404);
  EXPECT_FALSE(asked().empty());
  EXPECT_EQ(get("mirror/team/app/manifests/later").status, 404);
  EXPECT_THAT(asked(), IsEmpty());
  const std::string bytes = publish("later", "3");
  near_->clock.advance(std::chrono::seconds(10));
  EXPECT_EQ(get("mirror/team/app/manifests/later").body, bytes);
}

TEST_F(UpstreamsTest, ATagIsAskedForAgainWhenItIsOld) {
  start();
  get("mirror/team/app/manifests/latest");
  const std::string second = publish("latest", "2");
  asked();
  near_->clock.advance(std::chrono::minutes(10) - std::chrono::seconds(1));
  EXPECT_NE(get("mirror/team/app/manifests/latest").body, second);
  EXPECT_THAT(asked(), IsEmpty());
  near_->clock.advance(std::chrono::seconds(1));
  EXPECT_EQ(get("mirror/team/app/manifests/latest").body, second);
  near_->clock.advance(std::chrono::minutes(10));
  asked();
  EXPECT_EQ(get("mirror/team/app/manifests/latest").body, second);
  EXPECT_EQ(asked(), (std::vector<std::string>{"HEAD /v2/team/app/manifests/latest"}))
      << "it has not changed";
  EXPECT_EQ(get("mirror/team/app/manifests/latest").body, second);
  EXPECT_THAT(asked(), IsEmpty()) << "and is good for as long again";
}

TEST_F(UpstreamsTest, WhatIsHereIsTheAnswerWhenTheUpstreamIsGone) {
  start();
  const HttpResponse before = get("mirror/team/app/manifests/latest");
  get("mirror/team/app" + blob("layer"));
  far_.server.stop();
  near_->clock.advance(std::chrono::hours(24));
  EXPECT_EQ(get("mirror/team/app/manifests/latest").body, before.body);
  EXPECT_EQ(get("mirror/team/app" + blob("layer")).body, "layer");
  const HttpResponse manifest = get("mirror/team/app/manifests/other");
  EXPECT_EQ(manifest.status, 503);
  EXPECT_EQ(error_code(manifest), "UNAVAILABLE");
  EXPECT_THAT(manifest.body, HasSubstr("mirror/team/app is a copy of what " + far_.host() + " has"));
  EXPECT_EQ(get("mirror/team/app" + blob("{}")).status, 503);
  EXPECT_EQ(near_->push("own", "v1", index_of({})).status, 201) << "the rest goes on";
}

TEST_F(UpstreamsTest, SayWhatTheUpstreamDidWrong) {
  start();
  status_ = 403;
  const HttpResponse denied = get("mirror/team/app/manifests/latest");
  EXPECT_EQ(denied.status, 404) << "many deny what they do not have";
  EXPECT_THAT(denied.body, HasSubstr("denies it to this server"));
  status_ = 500;
  EXPECT_EQ(get("mirror/team/app/manifests/latest").status, 503);
  status_ = 200;
  EXPECT_EQ(get("mirror/team/app/manifests/latest").status, 200) << "a failure is not remembered";
}

TEST_F(UpstreamsTest, ManyWhoWaitShareOneTransfer) {
  start();
  constexpr int kClients = 12;
  const auto all_get = [&](const std::string& target) {
    std::latch ready(kClients);
    std::atomic<int> good = 0;
    std::vector<std::jthread> clients;
    for (int i = 0; i < kClients; ++i)
      clients.emplace_back([&] {
        ready.arrive_and_wait();
        good += near_->get(target) == 200;
      });
    clients.clear();
    return good.load();
  };
  EXPECT_EQ(all_get("mirror/team/app/manifests/latest"), kClients);
  EXPECT_THAT(asked(), Contains("GET /v2/team/app/manifests/latest").Times(1));
  EXPECT_EQ(all_get("mirror/team/app" + blob("layer")), kClients);
  EXPECT_THAT(asked(), Contains("GET /v2/team/app" + blob("layer")).Times(1));
}

TEST_F(UpstreamsTest, WhoWaitsKeepsNobodyElseWaiting) {
  std::promise<void> open;
  const std::shared_future<void> opened = open.get_future().share();
  std::latch waiting(20);
  HttpServer slow({.port = 0, .threads = 2, .pool_threads = 32},
                  [&](HttpExchange& exchange) -> Awaitable<void> {
                    if (exchange.path().ends_with("/manifests/latest")) {
                      co_await exchange.on_pool([&] {
                        waiting.count_down();
                        opened.wait();
                      });
                    }
                    co_await exchange.respond_json(404, "{}");
                  });
  PolicySettings settings;
  settings.upstreams = {{"mirror", slow.authority()}};
  PolicyRegistry at(settings);
  std::vector<std::jthread> clients;
  for (int i = 0; i < 20; ++i)
    clients.emplace_back([&, i] { at.get("mirror/r" + std::to_string(i) + "/manifests/latest"); });
  waiting.wait();  // more than the server's pool has threads
  EXPECT_EQ(at.push("own", "v1", index_of({})).status, 201);
  EXPECT_EQ(at.get("own/manifests/v1"), 200);
  open.set_value();
}

TEST_F(UpstreamsTest, AnEndOfTheServerEndsTheWaiting) {
  std::promise<void> asked;
  HttpServer silent(on_free_port(), [&](HttpExchange& exchange) -> Awaitable<void> {
    if (exchange.path().ends_with("/latest")) {
      asked.set_value();
      asio::steady_timer never(co_await asio::this_coro::executor, asio::steady_timer::time_point::max());
      co_await never.async_wait(asio::use_awaitable);
    }
    co_await exchange.respond_json(200, "{}");
  });
  std::stop_source stop;
  TempDir dir;
  Store store(dir.path());
  Client client(impatient());
  Upstreams upstreams(store, client, {.rules = {{"mirror", silent.authority()}}, .stop = stop.get_token()});
  std::optional<Error> error;
  std::jthread waiter([&] { error = error_of([&] { upstreams.manifest("mirror/app", "latest"); }); });
  asked.get_future().wait();
  stop.request_stop();
  waiter.join();
  EXPECT_EQ(error->kind(), ErrorKind::Unavailable);
  silent.stop(std::chrono::milliseconds(1));
}

TEST_F(UpstreamsTest, AnIndexComesWithoutItsImages) {
  start();
  const std::string child = manifest_of("{}", {"layer"}, "child");
  far_.store.put(child, media::kManifest);
  far_.store.tag("team/app:all", far_.store.put(index_of({child}), media::kIndex));
  Descriptor entry = far_.store.put(child, media::kManifest);
  entry.annotations[Store::kRepository] = "team/app";
  far_.store.update([&](IndexEdit& edit) { edit.add(entry); });
  EXPECT_EQ(get("mirror/team/app/manifests/all").body, index_of({child}));
  EXPECT_FALSE(near_->store.has(sha256(child)));
  EXPECT_EQ(get("mirror/team/app/manifests/" + sha256(child).text()).body, child);
  EXPECT_EQ(get("mirror/team/app" + blob("layer")).body, "layer");
}

TEST_F(UpstreamsTest, TheLongestPrefixCounts) {
  start();
  far_.store.tag("library/base:v1", far_.store.put(index_of({}), media::kIndex));
  EXPECT_EQ(get("mirror/lib/base/manifests/v1").status, 200);
  EXPECT_EQ(get("mirror/library/base/manifests/v1").status, 200);
  EXPECT_EQ(get("mirror/base/manifests/v1").status, 404);
}

TEST_F(UpstreamsTest, TakeNoPushes) {
  start();
  get("mirror/team/app/manifests/latest");
  EXPECT_EQ(near_->push_blob("mirror/team/app", "x"), 405);
  near_->push_blob("own", "x");
  EXPECT_EQ(near_->ask("POST", "/v2/mirror/team/app/blobs/uploads/?mount=" + sha256("x").text() + "&from=own")
                .status,
            405);
  const HttpResponse refused = near_->push("mirror/team/app", "latest", index_of({}));
  EXPECT_EQ(refused.status, 405);
  EXPECT_THAT(refused.body, HasSubstr("push there"));
  EXPECT_EQ(near_->ask("DELETE", "/v2/mirror/team/app/manifests/latest").status, 202) << "the copy may go";
  EXPECT_EQ(get("mirror/team/app/manifests/latest").status, 200) << "and comes back";
}

TEST_F(UpstreamsTest, WhatIsNotHereYetIsNotDamaged) {
  start();
  get("mirror/team/app/manifests/latest");
  EXPECT_THAT(scrub(near_->store, 1, {}, {}).missing, IsEmpty());
  get("mirror/team/app" + blob("layer"));
  write_file(near_->store.blob_path(sha256("layer")), "damag");
  const ScrubReport report = scrub(near_->store, 1, {}, {});
  EXPECT_THAT(report.missing, Contains(sha256("layer")));
  EXPECT_THAT(report.damaged, Contains(sha256("layer")));
  EXPECT_EQ(get("mirror/team/app" + blob("layer")).body, "layer") << "brought anew";
}

TEST_F(UpstreamsTest, WithRightsACopyShowsOnlyWhatItsUpstreamHasSent) {
  TempDir dir;
  crypt_data room{};
  write_file(dir.path() / "users",
             std::string("bob:") + ::crypt_r("b", "$2b$04$abcdefghijklmnopqrstuu", &room) + "\n");
  RegistrySettings others;
  others.htpasswd = dir.path() / "users";
  others.access = {{{"bob"}, {"mirror/**"}, true, false, false, false}};
  start(others);
  const auto ask = [&](const std::string& target) {
    return near_->ask("GET", "/v2/" + target, {}, {}, {{"Authorization", "Basic " + base64_encode("bob:b")}});
  };
  EXPECT_EQ(get("mirror/team/app/manifests/latest").status, 401);
  EXPECT_THAT(asked(), IsEmpty()) << "nobody's wishes are not passed on";
  EXPECT_EQ(ask("mirror/team/app/manifests/latest").status, 200);
  EXPECT_EQ(ask("mirror/team/app" + blob("layer")).body, "layer");
  EXPECT_EQ(ask("own/manifests/v1").status, 403);

  // Here, in somebody's repository, but the upstream only talks of it.
  near_->store.put("secret", media::kLayer);
  near_->store.put("common", media::kLayer);
  const std::string greedy = publish("greedy", "3", "secret");
  publish("fair", "4", "common");
  far_.store.remove_blob(sha256("secret"));
  EXPECT_EQ(ask("mirror/team/app/manifests/greedy").body, greedy);
  EXPECT_EQ(ask("mirror/team/app" + blob("secret")).status, 404);
  EXPECT_EQ(ask("mirror/team/app/manifests/fair").status, 200);
  EXPECT_EQ(ask("mirror/team/app" + blob("common")).body, "common") << "which has it, too";
}

}  // namespace
}  // namespace kiln::registry
