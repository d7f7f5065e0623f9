#include "serving/status.h"

#include <gtest/gtest.h>

namespace kiln::serving {
namespace {

using nlohmann::json;

ServiceRecord service() {
  ServiceRecord record;
  record.spec.name = "hello";
  record.spec.revision_template = {{"spec", {{"containers", {{{"image", "localhost:8080/hello:latest"}}}}}}};
  record.spec.traffic = {{.revision = "", .latest = true, .percent = 100, .tag = ""}};
  record.generation = 4;
  record.template_generation = 2;
  record.latest_created = "hello-00002";
  return record;
}

RevisionRecord revision(int64_t generation, RevisionState state) {
  return {.name_space = "default",
          .name = "hello-0000" + std::to_string(generation),
          .service = "hello",
          .generation = generation,
          .revision_template = service().spec.revision_template,
          .image_digest = "sha256:abc",
          .state = state,
          .reason = state == RevisionState::Failed ? "ExitCode3" : "",
          .message = state == RevisionState::Failed ? "Container failed with: exit code 3" : "",
          .created = "2026-01-01T00:00:00Z"};
}

std::map<std::string, std::string> conditions(const json& object) {
  std::map<std::string, std::string> out;
  for (const json& condition : object["status"]["conditions"])
    out[condition["type"]] = condition["status"].get<std::string>() + " " + condition.value("reason", "");
  return out;
}

using Conditions = std::map<std::string, std::string>;

json shown(const ServiceRecord& record, const std::vector<RevisionRecord>& revisions) {
  return service_json(record, revisions, "localhost", "localhost:8080");
}

TEST(Status, OfAFirstDeployment) {
  ServiceRecord record = service();
  const std::vector<RevisionRecord> deploying = {revision(2, RevisionState::Deploying)};
  EXPECT_EQ(conditions(shown(record, deploying)), (Conditions{{"Ready", "Unknown Deploying"},
                                                              {"ConfigurationsReady", "Unknown Deploying"},
                                                              {"RoutesReady", "Unknown Deploying"}}));
  const std::vector<RevisionRecord> failed = {revision(2, RevisionState::Failed)};
  EXPECT_EQ(conditions(shown(record, failed)), (Conditions{{"Ready", "False RevisionFailed"},
                                                           {"ConfigurationsReady", "False RevisionFailed"},
                                                           {"RoutesReady", "False RevisionMissing"}}));
  record.latest_ready = "hello-00002";
  const json ready = shown(record, {revision(2, RevisionState::Ready)});
  EXPECT_EQ(conditions(ready),
            (Conditions{{"Ready", "True "}, {"ConfigurationsReady", "True "}, {"RoutesReady", "True "}}));
  EXPECT_EQ(ready["status"]["observedGeneration"], ready["metadata"]["generation"]);
}

TEST(Status, OfAFailedChangeKeepsTheRoute) {
  ServiceRecord record = service();
  record.latest_ready = "hello-00001";
  const json object = shown(record, {revision(1, RevisionState::Ready), revision(2, RevisionState::Failed)});
  EXPECT_EQ(conditions(object), (Conditions{{"Ready", "False RevisionFailed"},
                                            {"ConfigurationsReady", "False RevisionFailed"},
                                            {"RoutesReady", "True "}}));
  EXPECT_EQ(object["status"]["latestReadyRevisionName"], "hello-00001");
  EXPECT_EQ(object["status"]["latestCreatedRevisionName"], "hello-00002");
  EXPECT_EQ(object["status"]["traffic"][0]["revisionName"], "hello-00001");
}

TEST(Status, OfTrafficToARevisionThatIsNotThere) {
  ServiceRecord record = service();
  record.latest_ready = "hello-00002";
  record.spec.traffic = {{.revision = "hello-00009", .latest = false, .percent = 100, .tag = "old"}};
  const std::vector<RevisionRecord> revisions = {revision(2, RevisionState::Ready)};
  EXPECT_EQ(conditions(shown(record, revisions))["RoutesReady"], "False RevisionMissing");
  const json route = route_json(record, revisions, "localhost", "localhost:8080");
  EXPECT_EQ(conditions(route), (Conditions{{"AllTrafficAssigned", "False RevisionMissing"},
                                           {"IngressReady", "True "},
                                           {"Ready", "False RevisionMissing"}}));
  EXPECT_EQ(route["status"]["traffic"][0]["url"], "http://old-hello.default.localhost:8080");
}

TEST(Status, OfRevisions) {
  const json failed = revision_json(revision(2, RevisionState::Failed), false, 0);
  EXPECT_EQ(conditions(failed), (Conditions{{"Active", "False NoTraffic"},
                                            {"ContainerHealthy", "False ExitCode3"},
                                            {"Ready", "False ExitCode3"},
                                            {"ResourcesAvailable", "False ExitCode3"}}));
  const json ready = revision_json(revision(1, RevisionState::Ready), true, 2);
  EXPECT_EQ(conditions(ready)["Active"], "True ");
  EXPECT_EQ(ready["status"]["actualReplicas"], 2);
  EXPECT_EQ(ready["status"]["containerStatuses"][0]["imageDigest"], "localhost:8080/hello@sha256:abc");
  const json& labels = ready["metadata"]["labels"];
  EXPECT_EQ(labels["serving.knative.dev/configuration"], "hello");
  EXPECT_EQ(labels["serving.knative.dev/configurationGeneration"], "1");
  EXPECT_EQ(labels["serving.knative.dev/service"], "hello");
  EXPECT_EQ(labels["serving.knative.dev/routingState"], "active");
  EXPECT_EQ(failed["metadata"]["labels"]["serving.knative.dev/routingState"], "reserve");
}

TEST(Status, Urls) {
  EXPECT_EQ(service_url("a", "b", "localhost", "localhost:8080"), "http://a.b.localhost:8080");
  EXPECT_EQ(service_url("a", "b", "example.com", "example.com:80"), "http://a.b.example.com");
}

}  // namespace
}  // namespace kiln::serving
