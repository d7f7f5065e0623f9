// Images got by many at once, ahead of need, and with credentials of a run's own.
#include "registry/images.h"

#include <atomic>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <latch>
#include <thread>

#include "base/error.h"
#include "base/text.h"
#include "tests/unit/registry/bad_registry.h"

namespace kiln::registry {
namespace {

using testing::HasSubstr;

// A registry that counts how often manifests are asked for, and holds the answer to the first while it is
// shut. It may want a password.
class CountingRegistry {
 public:
  CountingRegistry() : server_(on_free_port(), [this](HttpExchange& exchange) { return handle(exchange); }) {}

  std::string put(const std::string& name) {
    store_.tag(name, make_image(store_, {TarBuilder().file("f", name).finish()}, name).descriptor);
    return server_.authority() + "/" + name;
  }
  std::string host() const { return server_.authority(); }
  void want(const std::string& user_and_password) { wanted_ = "Basic " + base64_encode(user_and_password); }
  void shut() { shut_ = true; }
  void open() {
    shut_ = false;
    shut_.notify_all();
  }
  void await_question() { asked_.wait(0); }
  int asked() const { return asked_; }

 private:
  Awaitable<void> handle(HttpExchange& exchange) {
    if (!wanted_.empty() && exchange.header("Authorization") != wanted_) {
      HttpHeaders headers;
      headers.add("WWW-Authenticate", "Basic realm=\"test\"");
      co_await exchange.respond(401, std::move(headers), "{}");
      co_return;
    }
    if (exchange.target().find("/manifests/") != std::string::npos) {
      const bool first = asked_++ == 0;
      asked_.notify_all();
      const auto wait = [this] { shut_.wait(true); };
      if (first) co_await exchange.on_pool(wait);
    }
    co_await registry_.handle(exchange);
  }

  TempDir dir_;
  Store store_{dir_.path()};
  RegistryServer registry_{store_, {}};
  std::string wanted_;
  std::atomic<bool> shut_ = false;
  std::atomic<int> asked_ = 0;
  HttpServer server_;  // last: it uses the others
};

class ImagesTest : public testing::Test {
 protected:
  CountingRegistry remote;
  TempDir dir;
  Store store{dir.path()};
  Client client{impatient()};
  Images images{store, client};
};

TEST_F(ImagesTest, OneThatManyWantIsPulledOnce) {
  const std::string name = remote.put("app:v1");
  const ImageRequest request{.policy = PullPolicy::Always,
                             .answered_since = std::chrono::steady_clock::now()};
  remote.shut();
  std::latch under_way(4);
  std::atomic<int> got = 0;
  {
    std::vector<std::jthread> wanting;
    for (int i = 0; i < 4; ++i)
      wanting.emplace_back([&] {
        under_way.count_down();
        if (images.get(name, request).config.labels["label"] == "app:v1") ++got;
      });
    under_way.wait();
    remote.await_question();
    remote.open();
  }
  EXPECT_EQ(got, 4);
  EXPECT_EQ(remote.asked(), 1);
}

TEST_F(ImagesTest, WhoWaitsGoesOnWhenTheOneThatPullsGivesUp) {
  const std::string name = remote.put("app:v1");
  remote.shut();
  std::stop_source giving_up;
  std::jthread first([&] { EXPECT_THROW(images.get(name, {}, giving_up.get_token()), Error); });
  remote.await_question();
  std::atomic<bool> got = false;
  std::jthread second([&] { got = images.get(name).config.labels["label"] == "app:v1"; });
  giving_up.request_stop();
  first.join();
  second.join();
  remote.open();
  EXPECT_TRUE(got);
}

TEST_F(ImagesTest, WhoWaitsMayGiveUp) {
  const std::string name = remote.put("app:v1");
  remote.shut();
  std::jthread first([&] { images.get(name); });
  remote.await_question();
  std::stop_source stopped;
  stopped.request_stop();
  EXPECT_THROW(images.get(name, {}, stopped.get_token()), Error);
  remote.open();
}

TEST_F(ImagesTest, AlwaysIsOnceSinceAMoment) {
  const std::string name = remote.put("app:v1");
  ImageRequest request{.policy = PullPolicy::Always, .answered_since = std::chrono::steady_clock::now()};
  images.get(name, request);
  images.get(name, request);
  EXPECT_EQ(remote.asked(), 1);
  request.answered_since = std::chrono::steady_clock::now();  // another run
  images.get(name, request);
  EXPECT_EQ(remote.asked(), 2);
  images.get(name, PullPolicy::Always);
  EXPECT_EQ(remote.asked(), 3);
}

TEST_F(ImagesTest, AheadOfNeedOneThatIsNotThereIsPassedOver) {
  std::vector<WantedImage> wanted{{remote.host() + "/none:v1", {}}, {"not a name", {}}};
  for (int i = 0; i < 9; ++i) wanted.push_back({remote.put("app:v" + std::to_string(i)), {}});
  images.prefetch(wanted, {});
  for (size_t i = 2; i < wanted.size(); ++i)
    EXPECT_NO_THROW(images.get(wanted[i].name, PullPolicy::Never)) << wanted[i].name;
  EXPECT_THROW(images.get(wanted[0].name), Error);
}

TEST_F(ImagesTest, AheadOfNeedEndsWhenItIsTold) {
  const std::string name = remote.put("app:v1");
  remote.shut();
  std::stop_source stop;
  std::jthread ahead([&] { images.prefetch(std::vector<WantedImage>{{name, {}}}, stop.get_token()); });
  remote.await_question();
  stop.request_stop();
  ahead.join();  // although the registry has not answered
  remote.open();
}

TEST_F(ImagesTest, CredentialsOfTheRequestGoFirstAndAreForItAlone) {
  const std::string name = remote.put("app:v1");
  remote.want("robot:secret");
  const auto config = [&](const std::string& host, const std::string& pair) {
    return R"({"auths":{")" + host + R"(":{"auth":")" + base64_encode(pair) + R"("}}})";
  };
  EXPECT_THROW(images.get(name), Error);
  EXPECT_THROW(images.get(name, {.credentials = {config("elsewhere.example", "robot:secret")}}), Error);
  const ImageRequest request{
      .policy = PullPolicy::Always,
      .answered_since = std::chrono::steady_clock::now(),
      .credentials = {"no JSON", config("elsewhere.example", "x:y"), config(remote.host(), "robot:secret")}};
  EXPECT_EQ(images.get(name, request).config.labels["label"], "app:v1");
  // What was answered to them is no answer to others.
  EXPECT_THROW(images.get(name, {.policy = PullPolicy::Always, .answered_since = request.answered_since}),
               Error);
}

TEST_F(ImagesTest, OneThatLostALayerIsIncompleteNotUnknown) {
  const Image image = make_image(store, {TarBuilder().file("f", "x").finish()});
  store.tag("kiln/run:latest", image.descriptor);
  store.tag("app:v1", image.descriptor);
  store.remove_blob(image.manifest.layers[0].digest);
  for (const auto& [name, next] :
       {std::pair{"kiln/run", "kiln stack create"}, {"app:v1", "kiln image pull app:v1"}}) {
    try {
      images.get(name, PullPolicy::Never);
      ADD_FAILURE() << name;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::Infrastructure);
      EXPECT_THAT(error.message(), HasSubstr("is incomplete in the store"));
      EXPECT_THAT(error.hint(), HasSubstr(next));
    }
  }
}

TEST_F(ImagesTest, ACredentialsProgramIsForTheUserToName) {
  const CredentialFiles files = CredentialFiles(Environment{}).after({R"({"credsStore":"evil"})"});
  EXPECT_TRUE(files.find("r.example", "x").empty());
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

}  // namespace
}  // namespace kiln::registry
