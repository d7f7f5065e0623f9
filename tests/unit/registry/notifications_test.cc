#include "registry/server/notifications.h"

#include <boost/asio/steady_timer.hpp>
#include <condition_variable>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <mutex>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "tests/unit/registry/policy_registry.h"

namespace kiln::registry {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using Action = RegistryEvent::Action;

// Somebody who is told, and answers what he is told to.
class Receiver {
 public:
  explicit Receiver(std::vector<int> answers = {}) : answers_(std::move(answers)) {}
  std::string url() const { return "http://" + server_.authority() + "/in"; }
  // The requests, when there are so many.
  std::vector<std::string> wait_for(size_t count) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(came_.wait_for(lock, std::chrono::seconds(60), [&] { return bodies_.size() >= count; }));
    return bodies_;
  }
  std::string header(const std::string& name) {
    std::lock_guard lock(mutex_);
    return headers_[name];
  }

 private:
  Awaitable<void> handle(HttpExchange& exchange) {
    std::string body = co_await exchange.read_all();
    int status = 200;
    {
      std::lock_guard lock(mutex_);
      for (const char* name : {"Content-Type", "Authorization"})
        headers_[name] = std::string(exchange.header(name));
      if (bodies_.size() < answers_.size()) status = answers_[bodies_.size()];
      bodies_.push_back(std::move(body));
    }
    came_.notify_all();
    HttpHeaders none;
    co_await exchange.respond(status, std::move(none), "");
  }

  const std::vector<int> answers_;
  std::mutex mutex_;
  std::condition_variable came_;
  std::vector<std::string> bodies_;
  std::map<std::string, std::string> headers_;
  HttpServer server_{on_free_port(), [this](HttpExchange& exchange) { return handle(exchange); }};
};

class NotificationsTest : public testing::Test {
 protected:
  static RegistryEvent event(const std::string& tag, Action action = Action::Push) {
    return {action,  "team/app",  tag, {std::string(media::kManifest), sha256(tag), 7, {}, {}, {}, {}},
            "alice", "10.0.0.1:5"};
  }
  static RegistryEvent blob_event(Action action) {
    return {action, "team/app", "", {"application/octet-stream", sha256("blob"), 4, {}, {}, {}, {}}, "", ""};
  }
  static NotificationTarget target(const std::string& url, const std::string& name = "ci") {
    NotificationTarget out;
    out.name = name;
    out.url = url;
    return out;
  }
  Notifications::Options options(std::vector<NotificationTarget> targets) const {
    return {.targets = std::move(targets),
            .database = dir_.path() / "registry.db",
            .source = "http://registry.example",
            .first_pause = std::chrono::milliseconds(1)};
  }
  static std::vector<std::string> tags(const std::vector<std::string>& bodies) {
    std::vector<std::string> out;
    for (const std::string& body : bodies) out.push_back(json::parse(body)["data"].value("tag", "-"));
    return out;
  }
  // A server's address where nobody is any more.
  static std::string gone() {
    HttpServer server(on_free_port(),
                      [](HttpExchange& exchange) { return exchange.respond_json(200, "{}"); });
    return "http://" + server.authority();
  }

  TempDir dir_;
  const Time now_{std::chrono::seconds(1'800'000'000)};
};

TEST_F(NotificationsTest, WritesDockersFormat) {
  RegistryEvent pushed = event("v1");
  pushed.request = {"registry.example:80", "PUT", "skopeo/1"};
  EXPECT_EQ(json::parse(docker_event(pushed, "ID", "http://registry.example:80", "I", now_)), json::parse(R"({
    "events": [{
      "id": "ID", "timestamp": "2027-01-15T08:00:00.000000000Z", "action": "push",
      "target": {"mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 7, "length": 7,
        "digest": "sha256:3bfc269594ef649228e9a74bab00f042efc91d5acc6fbee31a382e80d42388fe",
        "repository": "team/app", "tag": "v1",
        "url": "http://registry.example:80/v2/team/app/manifests/sha256:3bfc269594ef649228e9a74bab00f042efc91d5acc6fbee31a382e80d42388fe"},
      "request": {"id": "ID", "addr": "10.0.0.1:5", "host": "registry.example:80", "method": "PUT",
        "useragent": "skopeo/1"},
      "actor": {"name": "alice"},
      "source": {"addr": "registry.example:80", "instanceID": "I"}}]})"));
  const json blob =
      json::parse(docker_event(blob_event(Action::Mount), "ID", "http://r.example", "I", now_))["events"][0];
  EXPECT_EQ(blob["request"], (json{{"id", "ID"}, {"addr", ""}})) << "nobody asked";
  EXPECT_EQ(blob["action"], "mount");
  EXPECT_EQ(blob["target"]["url"], "http://r.example/v2/team/app/blobs/" + sha256("blob").text());
  EXPECT_FALSE(blob["target"].contains("tag"));
  EXPECT_EQ(blob["actor"], json::object());
}

TEST_F(NotificationsTest, WritesCloudEvents) {
  EXPECT_EQ(json::parse(cloud_event(event("v1", Action::Delete), "ID", "http://registry.example", now_)),
            json::parse(R"({
    "specversion": "1.0", "id": "ID", "source": "http://registry.example/v2/team/app",
    "type": "dev.kiln.registry.delete", "subject": "team/app:v1", "time": "2027-01-15T08:00:00.000000000Z",
    "datacontenttype": "application/json",
    "data": {"mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 7,
      "digest": "sha256:3bfc269594ef649228e9a74bab00f042efc91d5acc6fbee31a382e80d42388fe",
      "repository": "team/app", "tag": "v1", "actor": "alice"}})"));
  RegistryEvent untagged = event("v1");
  untagged.tag.clear();
  EXPECT_EQ(json::parse(cloud_event(untagged, "ID", "x", now_))["subject"],
            "team/app@" + sha256("v1").text());
  untagged.user = "\xff";
  EXPECT_TRUE(json::accept(cloud_event(untagged, "ID", "x", now_))) << "whatever a client calls itself";
}

TEST_F(NotificationsTest, ArriveInOrder) {
  Receiver receiver;
  Notifications notifications(options({target(receiver.url())}));
  for (int i = 0; i < 20; ++i) notifications.post(event(std::to_string(i)), now_);
  const auto bodies = receiver.wait_for(20);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(tags(bodies)[i], std::to_string(i));
  EXPECT_EQ(receiver.header("Content-Type"), "application/cloudevents+json");
  EXPECT_EQ(receiver.header("Authorization"), "");
}

TEST_F(NotificationsTest, AreSentAgainUntilTheyAreTaken) {
  Receiver receiver({500, 404, 302});
  Notifications notifications(options({target(receiver.url())}));
  notifications.post(event("one"), now_);
  notifications.post(event("two"), now_);
  const auto bodies = receiver.wait_for(5);
  EXPECT_THAT(tags(bodies), ElementsAre("one", "one", "one", "one", "two"));
  EXPECT_EQ(json::parse(bodies[0])["id"], json::parse(bodies[3])["id"])
      << "so that it can be told from another";
}

TEST_F(NotificationsTest, OutliveTheProcess) {
  {
    Notifications before(options({target(gone())}));
    before.post(event("one"), now_);
    before.post(event("two"), now_);
    EXPECT_EQ(before.waiting(), 2u);
  }
  Receiver receiver;
  Notifications after(options({target(receiver.url())}));
  after.post(event("three"), now_);
  EXPECT_THAT(tags(receiver.wait_for(3)), ElementsAre("one", "two", "three"));
}

TEST_F(NotificationsTest, OfATargetThatIsNoLongerThereAreDropped) {
  {
    Notifications before(options({target(gone(), "old"), target(gone(), "kept")}));
    before.post(event("one"), now_);
    EXPECT_EQ(before.waiting(), 2u);
  }
  EXPECT_EQ(Notifications(options({target(gone(), "kept")})).waiting(), 1u);
}

TEST_F(NotificationsTest, ThatNobodyTakesAreDroppedAtLast) {
  Notifications notifications(options({target(gone())}));
  notifications.post(event("old"), now_);
  notifications.post(event("young"), now_ + std::chrono::hours(24));
  notifications.post(event("new"), now_ + std::chrono::hours(7 * 24 + 1));
  EXPECT_EQ(notifications.waiting(), 2u);
}

TEST_F(NotificationsTest, TenThousandWaitAndNotMore) {
  Notifications notifications(options({target(gone()), target(gone(), "other")}));
  notifications.post(event("first"), now_);
  {
    Database outbox(dir_.path() / "registry.db");
    outbox
        .prepare(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9999) "
            "INSERT INTO outbox (target, at, body) SELECT 'ci', ?, '{}' FROM n")
        .bind(1, int64_t{now_.time_since_epoch().count()})
        .run();
  }
  EXPECT_EQ(notifications.waiting(), 10'001u);
  notifications.post(event("last"), now_);
  EXPECT_EQ(notifications.waiting(), 10'002u) << "the oldest has gone, the other target's have not";
}

TEST_F(NotificationsTest, EachTargetHasItsOwnQueueFormatAndActions) {
  Receiver docker, events;
  NotificationTarget first = target(docker.url(), "docker"), second = target(events.url(), "events");
  first.format = NotificationTarget::Format::Docker;
  first.actions = {"push"};
  second.actions = {"pull", "push", "mount"};
  Notifications notifications(options({first, second, target(gone(), "gone")}));
  notifications.post(blob_event(Action::Push), now_);
  notifications.post(blob_event(Action::Mount), now_);
  notifications.post(event("pulled", Action::Pull), now_);
  notifications.post(event("pushed"), now_);
  notifications.post(event("deleted", Action::Delete), now_);
  const auto to_docker = docker.wait_for(2);
  EXPECT_EQ(docker.header("Content-Type"), "application/vnd.docker.distribution.events.v1+json");
  EXPECT_EQ(json::parse(to_docker[0])["events"][0]["target"]["mediaType"], "application/octet-stream");
  EXPECT_EQ(json::parse(to_docker[1])["events"][0]["target"]["tag"], "pushed");
  EXPECT_THAT(tags(events.wait_for(3)), ElementsAre("-", "pulled", "pushed"))
      << "CloudEvents are not about blobs that were pushed";
}

TEST_F(NotificationsTest, BringTheTokenOfAFile) {
  Receiver receiver({500});
  NotificationTarget to = target(receiver.url());
  to.token_file = dir_.path() / "token";
  Notifications notifications(options({to}));
  notifications.post(event("one"), now_);  // waits: there is no such file
  write_file_atomic(to.token_file, " secret\n");
  receiver.wait_for(1);
  EXPECT_EQ(receiver.header("Authorization"), "Bearer secret");
  write_file_atomic(to.token_file, "changed");
  notifications.post(event("two"), now_);
  receiver.wait_for(3);
  EXPECT_EQ(receiver.header("Authorization"), "Bearer changed");
}

TEST_F(NotificationsTest, AReceiverThatHangsDelaysNobody) {
  std::atomic<int> asked = 0;
  HttpServer silent(on_free_port(), [&](HttpExchange&) -> Awaitable<void> {
    ++asked;
    asio::steady_timer never(co_await asio::this_coro::executor, asio::steady_timer::time_point::max());
    co_await never.async_wait(asio::use_awaitable);
  });
  {
    PolicySettings settings;
    settings.notifications = {target("http://" + silent.authority())};
    settings.notifications[0].actions = {"push", "pull"};
    PolicyRegistry at(settings);
    at.push_blob("a", "{}");
    EXPECT_EQ(at.push("a", "v1", manifest_of("{}")).status, 201);
    EXPECT_EQ(at.get("a/manifests/v1"), 200);
    EXPECT_EQ(at.policies.events_waiting(), 2u);
  }  // and the registry ends, though the receiver still says nothing
  silent.stop(std::chrono::milliseconds(1));
}

TEST_F(NotificationsTest, ToldIsWhatHappened) {
  Receiver receiver;
  PolicySettings settings;
  settings.notifications = {target(receiver.url())};
  settings.notifications[0].actions = {"push", "pull", "mount", "delete"};
  PolicyRegistry at(settings);
  at.push_blob("a", "{}");
  const std::string bytes = manifest_of("{}");
  at.push("a", "v1", bytes);
  const std::string manifest = "/v2/a/manifests/v1";
  at.ask("HEAD", manifest);
  at.ask("GET", manifest, {}, {}, {{"If-None-Match", "\"" + sha256(bytes).text() + "\""}});
  at.ask("GET", "/v2/a/manifests/absent");
  at.ask("GET", manifest);
  at.ask("POST", "/v2/b/blobs/uploads/?mount=" + sha256("{}").text() + "&from=a");
  at.ask("DELETE", manifest);
  at.ask("DELETE", "/v2/a/manifests/" + sha256(bytes).text());
  std::vector<std::string> told;
  for (const std::string& body : receiver.wait_for(5)) {
    const json event = json::parse(body);
    told.push_back(event["type"].get<std::string>() + " " + event["subject"].get<std::string>());
  }
  const std::string type = "dev.kiln.registry.";
  EXPECT_THAT(told,
              ElementsAre(type + "push a:v1", type + "pull a:v1", type + "mount b@" + sha256("{}").text(),
                          type + "delete a:v1", type + "delete a@" + sha256(bytes).text()))
      << "to look is not to pull";
}

TEST_F(NotificationsTest, DockersFormatTellsHowItWasAskedFor) {
  Receiver receiver;
  PolicySettings settings;
  settings.notifications = {target(receiver.url())};
  settings.notifications[0].format = NotificationTarget::Format::Docker;
  PolicyRegistry at(settings);
  at.push_blob("a", "{}");
  const json event = json::parse(receiver.wait_for(1)[0])["events"][0];
  EXPECT_EQ(event["request"]["host"], at.server.authority());
  EXPECT_EQ(event["request"]["method"], "POST");
  EXPECT_THAT(event["request"]["useragent"].get<std::string>(), HasSubstr("kiln"));
  EXPECT_FALSE(event["source"]["instanceID"].get<std::string>().empty());
}

}  // namespace
}  // namespace kiln::registry
