// How many instances there are, and who gets one.
#include <gtest/gtest.h>
#include <set>
#include <thread>

#include "tests/unit/serving/world.h"

namespace kiln::serving {
namespace {

using nlohmann::json;

json scaled(int concurrency, const json& annotations = json::object()) {
  return World::document("hello", {{"spec",
                                    {{"template",
                                      {{"metadata", {{"annotations", annotations}}},
                                       {"spec", {{"containerConcurrency", concurrency}}}}}}}});
}

struct Held {
  explicit Held(World& world) : caller(world.caller()) {
    caller.request("POST /hold HTTP/1.1", "Transfer-Encoding: chunked\r\n");
  }
  // The instance that took it.
  std::string started() {
    caller.head();
    return caller.next_chunk();
  }
  void release() {
    caller.chunk("");
    EXPECT_EQ(caller.next_chunk(), "done\n");
    EXPECT_EQ(caller.next_chunk(), "");
  }
  Caller caller;
};

TEST(Scaling, ManyFirstRequestsStartOneInstance) {
  KILN_NEEDS_SANDBOX();
  World world;
  world.deploy(World::document("hello"));
  world.restart();
  std::vector<std::unique_ptr<Caller>> callers;
  for (int i = 0; i < 20; ++i) {
    callers.push_back(std::make_unique<Caller>(world.caller()));
    callers.back()->request("GET /host HTTP/1.1");
  }
  std::set<std::string> hosts;
  for (auto& caller : callers) {
    const Caller::Answer answer = caller->answer();
    EXPECT_EQ(answer.status, 200);
    hosts.insert(answer.body);
  }
  EXPECT_EQ(hosts.size(), 1u);
  EXPECT_EQ(world.instances("hello-00001"), 1);
}

TEST(Scaling, ConcurrencyOneStartsMoreUpToMaxScale) {
  KILN_NEEDS_SANDBOX();
  World world;
  world.deploy(scaled(1, {{"autoscaling.knative.dev/max-scale", "3"}}));
  Held a(world), b(world), c(world);
  const std::set<std::string> hosts = {a.started(), b.started(), c.started()};
  EXPECT_EQ(hosts.size(), 3u) << "one request each";
  Held d(world);
  a.release();  // only now there is room
  EXPECT_TRUE(hosts.contains(d.started()));
  EXPECT_EQ(world.instances("hello-00001"), 3);
  for (Held* held : {&b, &c, &d}) held->release();
}

TEST(Scaling, TheQueueIsFirstComeFirstServed) {
  KILN_NEEDS_SANDBOX();
  World world;
  world.deploy(scaled(1, {{"autoscaling.knative.dev/max-scale", "1"}}));
  const auto revision =
      asio::co_spawn(world.server->io(), world.serving->route("hello.default.localhost"), asio::use_future)
          .get();
  std::vector<int> order;
  const auto take = [&](int number) -> Awaitable<void> {
    const Revision::Lease lease = co_await revision->acquire();
    order.push_back(number);
  };
  std::optional<Revision::Lease> first;
  const auto hold = [&]() -> Awaitable<void> { first.emplace(co_await revision->acquire()); };
  asio::co_spawn(world.server->io(), hold(), asio::use_future).get();
  std::vector<std::future<void>> taken;
  for (int i = 0; i < 10; ++i)
    taken.push_back(
        world.on_io([&] { return asio::co_spawn(world.server->io(), take(i), asio::use_future); }));
  world.on_io([&] { first.reset(); });
  for (auto& future : taken) future.get();
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
}

TEST(Scaling, AQueueThatIsFullIs503) {
  KILN_NEEDS_SANDBOX();
  RevisionOptions options = World::quick();
  options.waiting_limit = 2;
  World world(options);
  world.deploy(scaled(1, {{"autoscaling.knative.dev/max-scale", "1"}}));
  Held running(world);
  running.started();
  // Of four more, two wait and two are turned away, whichever they are.
  std::vector<std::unique_ptr<Caller>> callers;
  for (int i = 0; i < 4; ++i) {
    callers.push_back(std::make_unique<Caller>(world.caller()));
    callers.back()->request("GET / HTTP/1.1", "Connection: close\r\n");
  }
  std::vector<std::jthread> readers;
  std::atomic<int> refusals = 0, answers = 0;
  for (auto& caller : callers)
    readers.emplace_back([&answers, &refusals, &caller = *caller] {
      const Caller::Answer answer = caller.answer();
      if (answer.status == 503 && answer.body.find("pending request queue full") != std::string::npos)
        ++refusals;
      if (answer.status == 200) ++answers;
    });
  while (refusals < 2) std::this_thread::yield();
  running.release();
  readers.clear();
  EXPECT_EQ(refusals, 2);
  EXPECT_EQ(answers, 2);
}

TEST(Scaling, AnIdleRevisionGoesToZeroAndComesBack) {
  KILN_NEEDS_SANDBOX();
  RevisionOptions options;
  options.window = options.scale_to_zero_grace = std::chrono::milliseconds(1);
  World world(options);
  world.deploy(World::document("hello"));
  world.until_instances("hello-00001", 0);
  EXPECT_EQ(world.get("/").body, "hello-00001\n");
  world.until_instances("hello-00001", 0);
}

TEST(Scaling, MinScaleIsKept) {
  KILN_NEEDS_SANDBOX();
  RevisionOptions options;
  options.window = options.scale_to_zero_grace = std::chrono::milliseconds(1);
  World world(options);
  world.deploy(scaled(0, {{"autoscaling.knative.dev/min-scale", "2"}}));
  world.until_instances("hello-00001", 2);
  EXPECT_EQ(world.get("/").status, 200);
  EXPECT_EQ(world.instances("hello-00001"), 2);
  world.restart(options);
  world.until_instances("hello-00001", 2);  // without a request
}

TEST(Scaling, AfterACrashTheNextRequestGetsANewInstance) {
  KILN_NEEDS_SANDBOX();
  World world;
  world.deploy(World::document("hello"));
  const std::string first = world.get("/host").body;
  Caller doomed = world.caller();
  doomed.request("POST /crash-if/" + first + " HTTP/1.1", "Content-Length: 0\r\n");
  EXPECT_EQ(doomed.answer().status, 502) << "a POST may have been carried out, so it is not sent again";
  const Caller::Answer after = world.get("/host");
  EXPECT_EQ(after.status, 200);
  EXPECT_NE(after.body, first);
}

TEST(Scaling, ARequestThatAnInstanceDiesOfGoesToAnother) {
  KILN_NEEDS_SANDBOX();
  World world;
  world.deploy(World::document("hello"));
  const std::string first = world.get("/host").body;
  const Caller::Answer answer = world.get("/crash-if/" + first);
  EXPECT_EQ(answer.status, 200);
  EXPECT_NE(answer.body, first);
}

TEST(Scaling, ARequestThatKillsEveryInstanceIs502InTheEnd) {
  KILN_NEEDS_SANDBOX();
  World world;
  world.deploy(World::document("hello"));
  EXPECT_EQ(world.get("/crash").status, 502);
  EXPECT_EQ(world.get("/").status, 200);
}

TEST(Scaling, ARevisionThatNoLongerStartsIs503) {
  KILN_NEEDS_SANDBOX();
  World world;
  world.deploy(World::document("hello"));
  world.stop();
  {
    // The record now means an image whose program ends at once.
    Records records(world.folder.path() / "kiln.db");
    auto revision = records.revision("default", "hello-00001");
    revision->image_digest = world.store.resolve("kiln/crash:latest")->digest.text();
    records.save(*revision);
  }
  world.restart();
  const Caller::Answer answer = world.get("/");
  EXPECT_EQ(answer.status, 503);
  EXPECT_NE(answer.body.find("exit code 7"), std::string::npos) << answer.body;
}

}  // namespace
}  // namespace kiln::serving
