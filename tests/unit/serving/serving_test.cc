// Services on their way from a document to traffic, with real sandboxes.
#include "serving/serving.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <set>
#include <thread>

#include "base/error.h"
#include "tests/unit/serving/world.h"

namespace kiln::serving {
namespace {

using nlohmann::json;
using testing::HasSubstr;

json in_template(const json& spec, const json& annotations = json::object()) {
  return {{"spec", {{"template", {{"metadata", {{"annotations", annotations}}}, {"spec", spec}}}}}};
}
json image(const std::string& name) {
  return in_template({{"containers", {{{"image", name}}}}});
}
json greeting(const std::string& text) {
  return in_template(
      {{"containers", {{{"image", "kiln/good"}, {"env", {{{"name", "GREETING"}, {"value", text}}}}}}}});
}
json traffic(const std::string& targets) {
  return {{"spec", {{"traffic", json::parse(targets)}}}};
}
json both(json a, const json& b) {
  a.merge_patch(b);
  return a;
}

class ServingTest : public testing::Test {
 protected:
  void SetUp() override {
    KILN_NEEDS_SANDBOX();
    world.emplace();
  }
  World& w() { return *world; }
  std::optional<World> world;
};

TEST_F(ServingTest, AServiceBecomesReadyAndAnswers) {
  const RevisionRecord revision = w().deploy(World::document("hello", greeting("hi")));
  EXPECT_EQ(revision.name, "hello-00001");
  EXPECT_EQ(revision.state, RevisionState::Ready) << revision.message;
  EXPECT_THAT(revision.image_digest, testing::StartsWith("sha256:"));
  EXPECT_EQ(w().get("/").body, "hello-00001\n");
  EXPECT_EQ(w().get("/env").body, "8080 hello hello hi");
  EXPECT_EQ(w().instances("hello-00001"), 1);
  EXPECT_EQ(w().get("/", "nobody").status, 404);
}

TEST_F(ServingTest, TheSameAgainChangesNothing) {
  w().deploy(World::document("hello"));
  const ServiceRecord again = w().apply(World::document("hello"));
  EXPECT_EQ(again.generation, 1);
  EXPECT_EQ(again.latest_created, "hello-00001");
}

TEST_F(ServingTest, ANewRevisionTakesOverAndTheOldOneEnds) {
  w().deploy(World::document("hello"));
  w().deploy(World::document("hello", greeting("two")));
  EXPECT_EQ(w().get("/").body, "hello-00002\n");
  w().until_instances("hello-00001", 0);
}

TEST_F(ServingTest, ABadRevisionLeavesTheOldOneAnswering) {
  w().deploy(World::document("hello"));
  const RevisionRecord crashed = w().deploy(World::document("hello", image("kiln/crash")));
  EXPECT_EQ(crashed.state, RevisionState::Failed);
  EXPECT_EQ(crashed.reason, "ExitCode7");
  EXPECT_THAT(crashed.message, HasSubstr("Container failed with: exit code 7"));
  EXPECT_EQ(w().get("/").body, "hello-00001\n");
  const RevisionRecord missing = w().deploy(World::document("hello", image("kiln/no-such-image")));
  EXPECT_EQ(missing.state, RevisionState::Failed);
  EXPECT_EQ(missing.reason, "ContainerMissing");
  EXPECT_EQ(w().get("/").body, "hello-00001\n");
  EXPECT_EQ(w().instances(crashed.name), 0);
}

TEST_F(ServingTest, WithoutAnyReadyRevisionItIs503) {
  w().deploy(World::document("hello", image("kiln/crash")));
  EXPECT_EQ(w().get("/").status, 503);
}

TEST_F(ServingTest, ARevisionThatDoesNotListenFailsAtItsDeadline) {
  const RevisionRecord silent =
      w().deploy(World::document("hello", in_template({{"containers", {{{"image", "kiln/silent"}}}}},
                                                      {{"serving.knative.dev/progress-deadline", "1s"}})));
  EXPECT_EQ(silent.state, RevisionState::Failed);
  EXPECT_EQ(silent.reason, "ProgressDeadlineExceeded");
  EXPECT_THAT(silent.message, HasSubstr("port 8080"));
}

TEST_F(ServingTest, AFailedDeploymentIsTriedAgainWhenAskedAgain) {
  w().deploy(World::document("hello", image("kiln/late")));
  const auto good = w().store.resolve("kiln/good:latest");
  w().store.tag("kiln/late:latest", *good);
  EXPECT_EQ(w().deploy(World::document("hello", image("kiln/late"))).state, RevisionState::Ready);
}

TEST_F(ServingTest, OwnRevisionNamesAreTakenOnce) {
  const auto named = [](const std::string& name, const std::string& text) {
    return both(greeting(text), {{"spec", {{"template", {{"metadata", {{"name", name}}}}}}}});
  };
  EXPECT_EQ(w().deploy(World::document("hello", named("hello-00002", "a"))).name, "hello-00002");
  EXPECT_THROW(w().apply(World::document("hello", named("hello-00002", "b"))), Error);
  EXPECT_EQ(w().deploy(World::document("hello", greeting("c"))).name, "hello-00003")
      << "a generated name goes round those that are taken";
}

TEST_F(ServingTest, TrafficIsSplitAndTagsHaveHosts) {
  w().deploy(World::document("hello"));
  w().deploy(World::document("hello", greeting("two")));
  w().apply(World::document("hello", both(greeting("two"), traffic(R"([
      {"revisionName": "hello-00001", "percent": 50, "tag": "blue"},
      {"revisionName": "hello-00002", "percent": 50},
      {"latestRevision": true, "percent": 0, "tag": "latest-one"}])"))));
  std::map<std::string, int> answers;
  for (int i = 0; i < 200; ++i) ++answers[w().get("/").body];
  EXPECT_GT(answers["hello-00001\n"], 50);
  EXPECT_GT(answers["hello-00002\n"], 50);
  EXPECT_EQ(answers.size(), 2u);
  EXPECT_EQ(w().get("/", "blue-hello").body, "hello-00001\n");
  EXPECT_EQ(w().get("/", "latest-one-hello").body, "hello-00002\n");
  EXPECT_EQ(w().get("/", "green-hello").status, 404);
}

TEST_F(ServingTest, RollingBackIsOnlyTraffic) {
  w().deploy(World::document("hello"));
  w().deploy(World::document("hello", greeting("two")));
  w().until_instances("hello-00001", 0);
  w().apply(World::document(
      "hello", both(greeting("two"), traffic(R"([{"revisionName": "hello-00001", "percent": 100}])"))));
  const Caller::Answer answer = w().get("/");
  EXPECT_EQ(answer.body, "hello-00001\n")
      << "status " << answer.status << (answer.cut ? ", cut: " : ": ") << answer.head;
  w().until_instances("hello-00002", 0);
}

TEST_F(ServingTest, RequestsOfARetiredRevisionEndBeforeItDoes) {
  w().deploy(World::document("hello"));
  Caller held = w().caller();
  held.request("POST /hold HTTP/1.1", "Transfer-Encoding: chunked\r\n");
  held.head();
  held.next_chunk();
  w().deploy(World::document("hello", greeting("two")));
  EXPECT_EQ(w().get("/").body, "hello-00002\n");
  EXPECT_EQ(w().instances("hello-00001"), 1) << "its request is still under way";
  held.chunk("");
  EXPECT_EQ(held.next_chunk(), "done\n");
  EXPECT_EQ(held.next_chunk(), "");
  w().until_instances("hello-00001", 0);
}

TEST_F(ServingTest, NoRequestIsLostWhileRevisionsChange) {
  w().deploy(World::document("hello"));
  std::atomic<bool> stop = false;
  std::atomic<int> bad = 0, good = 0;
  std::vector<std::jthread> callers;
  for (int i = 0; i < 3; ++i)
    callers.emplace_back([&] {
      while (!stop) (w().get("/").status == 200 ? good : bad)++;
    });
  for (const char* text : {"two", "three", "four"}) w().deploy(World::document("hello", greeting(text)));
  stop = true;
  callers.clear();
  EXPECT_EQ(bad, 0);
  EXPECT_GT(good, 0);
}

TEST_F(ServingTest, DeletingAServiceStopsItAfterItsRequests) {
  w().deploy(World::document("hello"));
  Caller held = w().caller();
  held.request("POST /hold HTTP/1.1", "Transfer-Encoding: chunked\r\n");
  held.head();
  held.next_chunk();
  w().on_io([&] { w().serving->remove("default", "hello"); });
  EXPECT_EQ(w().get("/").status, 404);
  held.chunk("");
  EXPECT_EQ(held.next_chunk(), "done\n");
  EXPECT_EQ(w().deploy(World::document("hello", greeting("again"))).state, RevisionState::Ready);
  EXPECT_EQ(w().get("/env").body, "8080 hello hello again");
}

TEST_F(ServingTest, DeletingWhileDeployingLeavesNothing) {
  for (int i = 0; i < 5; ++i) {
    w().apply(World::document("hello", image(i % 2 ? "kiln/silent" : "kiln/good")));
    w().on_io([&] { w().serving->remove("default", "hello"); });
  }
  EXPECT_EQ(w().deploy(World::document("hello", greeting("after"))).state, RevisionState::Ready);
  EXPECT_EQ(w().get("/env").body, "8080 hello hello after");
}

TEST_F(ServingTest, AfterARestartServicesStartFromZero) {
  w().deploy(World::document("hello"));
  w().restart();
  EXPECT_EQ(w().instances("hello-00001"), 0);
  EXPECT_EQ(w().get("/").body, "hello-00001\n");
}

TEST_F(ServingTest, ARestartTakesUpUnfinishedDeployments) {
  w().deploy(World::document("hello"));
  w().apply(World::document("hello", image("kiln/silent")));
  w().stop();
  {
    Records records(w().folder.path() / "kiln.db");
    auto unfinished = records.revision("default", "hello-00002");
    ASSERT_TRUE(unfinished);
    EXPECT_EQ(unfinished->state, RevisionState::Deploying) << "a shutdown is no failure of the revision";
  }
  const auto good = w().store.resolve("kiln/good:latest");
  w().store.tag("kiln/silent:latest", *good);
  {
    Records records(w().folder.path() / "kiln.db");
    auto unfinished = records.revision("default", "hello-00002");
    unfinished->image_digest.clear();
    records.save(*unfinished);
  }
  w().restart();
  EXPECT_EQ(w().until_deployed("hello-00002").state, RevisionState::Ready);
  EXPECT_EQ(w().get("/").body, "hello-00002\n");
}

TEST_F(ServingTest, ShutdownWaitsForRequests) {
  w().deploy(World::document("hello"));
  Caller held = w().caller();
  held.request("POST /hold HTTP/1.1", "Transfer-Encoding: chunked\r\n");
  held.head();
  held.next_chunk();
  auto down =
      asio::co_spawn(w().server->io(), w().serving->shut_down(std::chrono::seconds(60)), asio::use_future);
  while (w().get("/").status != 503) std::this_thread::yield();
  held.chunk("");
  EXPECT_EQ(held.next_chunk(), "done\n");
  EXPECT_EQ(held.next_chunk(), "");
  down.get();
  w().drop();
}

TEST_F(ServingTest, AServerThatStopsWithoutOrderTouchesNothingFreed) {
  w().deploy(World::document("hello"));
  Caller one = w().caller(), two = w().caller();
  for (Caller* caller : {&one, &two}) {
    caller->request("POST /hold HTTP/1.1", "Transfer-Encoding: chunked\r\n");
    caller->head();
  }
  w().apply(World::document("hello", image("kiln/silent")));
  w().apply(World::document("other"));
  w().drop();
}

TEST_F(ServingTest, ObjectsAreShownAsKnativeShowsThem) {
  w().deploy(World::document("hello"));
  const std::string base = "/apis/serving.knative.dev/v1/namespaces/default/";
  const json service = json::parse(w().api("GET", base + "services/hello").body);
  EXPECT_EQ(service["status"]["url"], "http://hello.default.localhost:8080");
  EXPECT_EQ(service["status"]["latestReadyRevisionName"], "hello-00001");
  const json body = World::document("hello");
  EXPECT_EQ(w().api("POST", base + "services", body.dump()).status, 409);
  EXPECT_EQ(w().api("PUT", base + "services/hello", body.dump()).status, 200);
  EXPECT_EQ(w().api("PUT", base + "services/other", body.dump()).status, 422);
  EXPECT_EQ(w().api("POST", base + "services", "[[[").status, 422);
  EXPECT_EQ(w().api("POST", base + "services", std::string(100000, '[')).status, 422);
  EXPECT_EQ(w().api("GET", base + "revisions/none").status, 404);
  EXPECT_EQ(json::parse(w().api("GET", base + "revisions").body)["items"].size(), 1u);
  EXPECT_EQ(w().api("PATCH", base + "services/hello").status, 405);
  EXPECT_EQ(w().api("DELETE", base + "services/hello").status, 200);
  EXPECT_EQ(w().api("GET", base + "services/hello").status, 404);
}

TEST_F(ServingTest, KubectlReadsServices) {
  if (std::system("command -v kubectl > /dev/null 2>&1") != 0) GTEST_SKIP() << "kubectl is not installed";
  w().deploy(World::document("hello"));
  const auto kubectl = [&](const std::string& arguments) {
    const fs::path out = w().folder.path() / "kubectl.out";
    const std::string command =
        "HOME=" + w().folder.path().native() +
        " NO_PROXY='*' no_proxy='*' kubectl --server http://127.0.0.1:" + std::to_string(w().server->port()) +
        " " + arguments + " > " + out.native() + " 2>&1";
    const int status = std::system(command.c_str());
    return std::to_string(status) + " " + read_file(out);
  };
  EXPECT_EQ(kubectl("get ksvc -o name"), "0 service.serving.knative.dev/hello\n");
  EXPECT_EQ(kubectl("get ksvc hello -o jsonpath='{.status.latestReadyRevisionName}'"), "0 hello-00001");
  EXPECT_EQ(kubectl("get revisions.serving.knative.dev --all-namespaces -o name"),
            "0 revision.serving.knative.dev/hello-00001\n");
}

}  // namespace
}  // namespace kiln::serving
