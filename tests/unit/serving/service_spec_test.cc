#include "serving/service_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "serving/fields.h"

namespace kiln::serving {
namespace {

using nlohmann::json;
using testing::HasSubstr;

json minimal() {
  return json::parse(
      R"({"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": {"name": "hello"},
    "spec": {"template": {"spec": {"containers": [{"image": "kiln/hello"}]}}}})");
}

// A minimal service with one thing set, by JSON pointer.
json with(const std::string& pointer, const json& value) {
  json document = minimal();
  document[json::json_pointer(pointer)] = value;
  return document;
}

std::string refusal(const json& document) {
  try {
    ServiceSpec::parse(document);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Invalid);
    EXPECT_THAT(error.message(), Not(HasSubstr("json.exception")));
    return error.message();
  }
  return "accepted";
}

const std::string kSpec = "/spec/template/spec", kContainer = kSpec + "/containers/0";
const std::string kNotes = "/spec/template/metadata/annotations";

TEST(ServiceSpec, DefaultsAreKnatives) {
  const ServiceSpec service = ServiceSpec::parse(minimal());
  EXPECT_EQ(service.name_space, "default");
  ASSERT_EQ(service.traffic.size(), 1u);
  EXPECT_TRUE(service.traffic[0].latest);
  EXPECT_EQ(service.traffic[0].percent, 100);
  const ContainerSettings settings = ContainerSettings::of(service.revision_template);
  EXPECT_EQ(settings.image, "kiln/hello");
  EXPECT_EQ(settings.port, 8080);
  EXPECT_EQ(settings.concurrency, 0);
  EXPECT_EQ(settings.timeout, std::chrono::seconds(300));
  EXPECT_EQ(settings.window, std::chrono::seconds(60));
  EXPECT_EQ(settings.progress_deadline, std::chrono::seconds(600));
}

TEST(ServiceSpec, ReadsAllThatAnInstanceNeeds) {
  const json revision_template = json::parse(R"({
    "metadata": {"annotations": {"autoscaling.knative.dev/min-scale": "1", "autoscaling.knative.dev/maxScale": "3",
                                 "autoscaling.knative.dev/window": "2m", "serving.knative.dev/progress-deadline": "90s"}},
    "spec": {"containerConcurrency": 7, "timeoutSeconds": 0, "containers": [{
      "image": "i", "command": ["a"], "args": ["b", "c"], "workingDir": "/w", "env": [{"name": "A", "value": "1"}, {"name": "B"}],
      "ports": [{"name": "http1", "containerPort": 9000}], "resources": {"limits": {"memory": "64Mi", "cpu": "500m"}}}]}})");
  const ContainerSettings settings = ContainerSettings::of(revision_template);
  EXPECT_EQ(settings.command, std::vector<std::string>{"a"});
  EXPECT_EQ(settings.args, (std::vector<std::string>{"b", "c"}));
  EXPECT_EQ(settings.env, (std::map<std::string, std::string>{{"A", "1"}, {"B", ""}}));
  EXPECT_EQ(settings.working_dir, "/w");
  EXPECT_EQ(settings.port, 9000);
  EXPECT_EQ(settings.concurrency, 7);
  EXPECT_EQ(settings.timeout, std::chrono::seconds(300)) << "zero means the default";
  EXPECT_EQ(settings.memory_bytes, 64u << 20);
  EXPECT_DOUBLE_EQ(settings.cpus, 0.5);
  EXPECT_EQ(settings.min_scale, 1);
  EXPECT_EQ(settings.max_scale, 3);
  EXPECT_EQ(settings.window, std::chrono::seconds(120));
  EXPECT_EQ(settings.progress_deadline, std::chrono::seconds(90));
}

TEST(ServiceSpec, SaysWhatIsWrongAndWhere) {
  const struct {
    std::string pointer;
    json value;
    std::string message;
  } cases[] = {
      {"/metadata/name", "Hello", "not a DNS 1035 label: \"Hello\": metadata.name"},
      {"/metadata/name", std::string(64, 'a'), "not a DNS 1035 label"},
      {"/metadata/namespace", "a.b", "not a DNS label"},
      {"/kind", "Deployment", "expected a serving.knative.dev/v1 Service"},
      {"/apiVersion", "serving.knative.dev/v9", "expected a serving.knative.dev/v1 Service"},
      {"/metadata/annotations",
       {{"autoscaling.knative.dev/min-scale", "1"}},
       "spec.template.metadata.annotations"},
      {"/spec/templat", json::object(), "unknown field (did you mean template?): spec.templat"},
      {kSpec + "/containerConcurency", 1,
       "unknown field (did you mean containerConcurrency?): spec.template.spec.containerConcurency"},
      {kContainer + "/imgae", "x",
       "unknown field (did you mean image?): spec.template.spec.containers[0].imgae"},
      {kSpec + "/containers", json::array(), "expected exactly one container: spec.template.spec.containers"},
      {kSpec + "/containers/1", {{"image", "b"}}, "expected exactly one container"},
      {kContainer + "/image", "", "missing field(s): spec.template.spec.containers[0].image"},
      {kContainer + "/env", {{{"name", "PORT"}}}, "\"PORT\" is a reserved environment variable"},
      {kContainer + "/env", {{{"name", "K_REVISION"}}}, "\"K_REVISION\" is a reserved"},
      {kContainer + "/env",
       {{{"value", "x"}}},
       "missing field(s): spec.template.spec.containers[0].env[0].name"},
      {kContainer + "/env", {{{"name", "A=B"}}}, "must not contain \"=\""},
      {kContainer + "/env", {{{"name", "A"}, {"valueFrom", json::object()}}}, "env[0].valueFrom"},
      {kContainer + "/volumeMounts",
       {{{"name", "v"}}},
       "not supported here: spec.template.spec.containers[0].volumeMounts"},
      {kSpec + "/volumes", {{{"name", "v"}}}, "not supported here: spec.template.spec.volumes"},
      {kContainer + "/ports", {{{"containerPort", 1}}, {{"containerPort", 2}}}, "more than one port is set"},
      {kContainer + "/ports", {{{"name", "web"}}}, "port name web is not allowed (http1, h2c)"},
      {kContainer + "/ports", {{{"containerPort", 65536}}}, "expected 1 <= 65536 <= 65535"},
      {kContainer + "/ports", {{{"containerPort", 0}}}, "expected 1 <= 0 <= 65535"},
      {kContainer + "/workingDir", "relative", "expected an absolute path"},
      {kContainer + "/resources", {{"limits", {{"memory", "lots"}}}}, "not a quantity: \"lots\""},
      {kContainer + "/resources", {{"limits", {{"memory", "1e400"}}}}, "not a quantity"},
      {kContainer + "/resources", {{"limits", {{"memory", "nan"}}}}, "not a quantity"},
      {kContainer + "/resources", {{"limits", {{"cpu", -1}}}}, "not a quantity"},
      {kSpec + "/containerConcurrency", 1001, "expected 0 <= 1001 <= 1000"},
      {kSpec + "/containerConcurrency", -1, "expected 0 <= -1 <= 1000"},
      {kSpec + "/timeoutSeconds", 601, "expected 0 <= 601 <= 600"},
      {kSpec + "/timeoutSeconds", 18446744073709551615u, "expected 0 <= 18446744073709551615 <= 600"},
      {"/spec/template/metadata", {{"name", "other-1"}}, "starts with \"hello-\""},
      {kNotes, {{"autoscaling.knative.dev/min-scale", "-1"}}, "expected 0 <= -1 <= 1000"},
      {kNotes, {{"autoscaling.knative.dev/max-scale", "many"}}, "expected 0 <= many <= 1000"},
      {kNotes,
       {{"autoscaling.knative.dev/min-scale", "3"}, {"autoscaling.knative.dev/max-scale", "2"}},
       "max-scale=2 is less than min-scale=3"},
      {kNotes, {{"autoscaling.knative.dev/window", "1s"}}, "expected 6s <= 1s <= 3600s"},
      {"/spec/traffic", {{{"percent", 60}}}, "Traffic targets sum to 60, want 100: spec.traffic"},
      {"/spec/traffic",
       {{{"percent", 150}}, {{"percent", -50}}},
       "expected 0 <= 150 <= 100: spec.traffic[0].percent"},
      {"/spec/traffic", {{{"percent", 50.5}}}, "expected a whole number, got 50.5"},
      {"/spec/traffic",
       {{{"percent", 100}, {"tag", "Blue"}}},
       "not a DNS 1035 label: \"Blue\": spec.traffic[0].tag"},
      {"/spec/traffic",
       {{{"percent", 100}, {"tag", "a"}}, {{"tag", "a"}}},
       "Multiple definitions for a: spec.traffic[1].tag"},
      {"/spec/traffic",
       {{{"percent", 100}, {"revisionName", "hello-1"}, {"latestRevision", true}}},
       "may not be true together"},
      {"/spec/traffic",
       {{{"percent", 100}, {"latestRevision", false}}},
       "needed when latestRevision is false"},
      {"/spec/traffic",
       {{{"percent", 100}, {"revisionNam", "x"}}},
       "unknown field (did you mean revisionName?)"},
  };
  for (const auto& c : cases)
    EXPECT_THAT(refusal(with(c.pointer, c.value)), HasSubstr(c.message)) << c.pointer;
}

TEST(ServiceSpec, WrongTypesAreProblemsAndNotExceptions) {
  const std::string places[] = {"/apiVersion",
                                "/kind",
                                "/metadata",
                                "/metadata/name",
                                "/metadata/namespace",
                                "/metadata/labels",
                                "/metadata/annotations",
                                "/spec",
                                "/spec/template",
                                "/spec/template/metadata",
                                "/spec/template/metadata/name",
                                kNotes,
                                "/spec/template/metadata/labels",
                                kSpec,
                                kSpec + "/containers",
                                kContainer,
                                kContainer + "/image",
                                kContainer + "/command",
                                kContainer + "/args",
                                kContainer + "/env",
                                kContainer + "/workingDir",
                                kContainer + "/ports",
                                kContainer + "/resources",
                                kSpec + "/containerConcurrency",
                                kSpec + "/timeoutSeconds",
                                "/spec/traffic"};
  const json values[] = {
      1.5, true, "text", json::array({1}), json::object({{"a", 1}}), json::array({json::array()})};
  for (const std::string& place : places)
    for (const json& value : values) {
      const json document = with(place, value);
      try {
        ContainerSettings::of(ServiceSpec::parse(document).revision_template);
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::Invalid);
        EXPECT_THAT(error.message(), Not(HasSubstr("json.exception"))) << place;
      }
      ContainerSettings::of(value);
      ServiceSpec::stored(document);
    }
  for (const json& value : values) EXPECT_NE(refusal(value), "accepted");
  EXPECT_THAT(refusal(with(kContainer + "/image", 5)),
              HasSubstr("expected a string, got number: spec.template.spec.containers[0].image"));
  EXPECT_THAT(refusal(with(kContainer + "/env", json::array({"A=1"}))),
              HasSubstr("expected an object, got string"));
}

TEST(ServiceSpec, ShowsAllProblemsAtOnce) {
  json document = with("/metadata/name", "Hello");
  document["spec"]["traffic"] = {{{"percent", 1}}};
  document["spec"]["template"]["spec"]["timeoutSeconds"] = 1000;
  const std::string message = refusal(document);
  for (const char* part : {"metadata.name", "want 100", "timeoutSeconds"})
    EXPECT_THAT(message, HasSubstr(part));
}

TEST(ServiceSpec, NullsAreAbsent) {
  json document = with("/metadata/creationTimestamp", nullptr);
  document["status"] = json::object();
  for (const std::string& place :
       {kContainer + "/resources", kContainer + "/env", kSpec + "/timeoutSeconds", kNotes})
    document[json::json_pointer(place)] = nullptr;
  EXPECT_EQ(refusal(document), "accepted");
}

TEST(ServiceSpec, ReadsWhatItWrites) {
  json document =
      with("/spec/traffic", json::parse(R"([{"revisionName": "hello-00001", "percent": 40, "tag": "old"},
                                                        {"latestRevision": true, "percent": 60}])"));
  document["metadata"]["labels"] = {{"app", "x"}};
  const json once = ServiceSpec::parse(document).to_json();
  EXPECT_EQ(ServiceSpec::parse(once).to_json(), once);
  EXPECT_EQ(ServiceSpec::stored(once).to_json(), once);
}

TEST(ParseJson, RefusesWhatIsNestedBeyondReason) {
  EXPECT_EQ(parse_json("{\"a\": [1]}")["a"][0], 1);
  EXPECT_THROW(parse_json(std::string(3u << 20, '[')), Error);
  EXPECT_THROW(parse_json(std::string(500, '[') + std::string(500, ']')), Error);
  EXPECT_THROW(parse_json("{"), Error);
  EXPECT_THROW(parse_json("\"\xff\""), Error);
}

}  // namespace
}  // namespace kiln::serving
