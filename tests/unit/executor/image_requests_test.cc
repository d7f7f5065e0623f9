// Which images a run asks for ahead of need, and with which credentials.
#include "executor/image_requests.h"

#include <gmock/gmock.h>

#include "base/error.h"
#include "base/text.h"
#include "dag/compile.h"
#include "tests/unit/executor/support.h"

namespace kiln::executor {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::plan_of;

constexpr registry::ImageRequest::Moment kSince{std::chrono::seconds(7)};

std::vector<std::string> names_of(const dag::Plan& plan) {
  std::vector<std::string> out;
  for (const registry::WantedImage& one : wanted_images(plan, {"r", "u", "default"}, kSince, {}))
    out.push_back(one.name);
  return out;
}

TEST(WantedImages, AreThoseOfStepsAndSidecarsEachOnce) {
  EXPECT_THAT(
      names_of(plan_of("  params: [{name: v, default: '3'}]\n  tasks:\n"
                       "  - {name: a, taskSpec: {steps: [{name: s, image: one}, {name: t, image: two}], "
                       "sidecars: [{name: c, image: 'beside:$(params.v)'}]}}\n"
                       "  - {name: b, when: [{input: x, operator: in, values: [z]}], taskSpec: {steps: "
                       "[{name: s, image: one}, {name: u, image: local, imagePullPolicy: Never}]}}\n"
                       "  finally:\n  - {name: z, taskSpec: {steps: [{name: s, image: last}]}}\n")),
      ElementsAre("one", "two", "beside:3", "last"));
}

TEST(WantedImages, OfAMatrixAreThoseOfItsTaskRuns) {
  EXPECT_THAT(
      names_of(plan_of("  tasks:\n  - {name: a, matrix: {params: [{name: v, value: [v1, v2]}]}, taskSpec: "
                       "{params: [{name: v}], steps: [{name: s, image: 'node:$(params.v)'}]}}\n")),
      ElementsAre("node:v1", "node:v2"));
}

TEST(WantedImages, ThoseThatWaitForAResultAreLeftOut) {
  EXPECT_THAT(
      names_of(plan_of(
          "  tasks:\n" + testing::task("a") +
          "  - {name: b, params: [{name: v, value: $(tasks.a.results.r)}], taskSpec: {params: [{name: "
          "v}], steps: [{name: s, image: $(params.v)}, {name: t, image: known}]}}\n")),
      ElementsAre("i", "known"));
}

TEST(WantedImages, AreAskedForAsTheirPodsWillAsk) {
  const auto wanted = wanted_images(
      plan_of(
          "  tasks:\n  - {name: a, taskSpec: {steps: [{name: s, image: one, imagePullPolicy: Always}]}}\n"),
      {"r", "u", "default"}, kSince, {});
  ASSERT_EQ(wanted.size(), 1u);
  EXPECT_EQ(wanted[0].request.policy, registry::PullPolicy::Always);
  EXPECT_EQ(wanted[0].request.answered_since, kSince);
  std::stop_source stopped;
  stopped.request_stop();
  EXPECT_THAT(wanted_images(plan_of("  tasks:\n" + testing::task("a")), {}, kSince, stopped.get_token()),
              IsEmpty());
}

const std::string kPair = base64_encode("robot:hunter2");

class PullCredentials : public ::testing::Test {
 protected:
  void secret(const std::string& name, const std::string& type, const std::string& key,
              const std::string& value) {
    dag::KeyValues& made = objects_.secrets[name];
    made.metadata.name.value = name;
    made.type = type;
    made.values[key] = value;
  }
  void docker_json(const std::string& name, const std::string& host) {
    secret(name, "kubernetes.io/dockerconfigjson", ".dockerconfigjson",
           R"({"credsStore":"x","auths":{")" + host + R"(":{"auth":")" + kPair + R"("}}})");
  }
  std::vector<std::string> credentials() {
    dag::Plan plan;
    plan.objects = std::make_shared<dag::ClusterObjects>(objects_);
    return pull_credentials(plan, settings_, notes_);
  }
  std::string problem() {
    try {
      credentials();
    } catch (const Error& error) {
      return error.full();
    }
    return {};
  }
  dag::ClusterObjects objects_;
  dag::TaskRunSettings settings_;
  std::vector<std::string> notes_;
};

TEST_F(PullCredentials, OfThePodGoBeforeThoseOfItsServiceAccount) {
  docker_json("pods", "a.example");
  docker_json("accounts", "b.example");
  objects_.service_accounts["default"].image_pull_secrets = {{"accounts", {}}};
  EXPECT_THAT(credentials(), ElementsAre(R"({"auths":{"b.example":{"auth":")" + kPair + R"("}}})"));
  settings_.pod_template.image_pull_secrets = {{"pods", {}}};
  EXPECT_THAT(credentials(), ElementsAre(HasSubstr("a.example")));
  settings_.pod_template.image_pull_secrets.clear();
  settings_.service_account.value = "other";
  EXPECT_THAT(credentials(), IsEmpty());
  EXPECT_THAT(notes_, IsEmpty());
}

TEST_F(PullCredentials, OfTheOldFormatAreTheSame) {
  secret("old", "kubernetes.io/dockercfg", ".dockercfg", R"({"a.example":{"auth":")" + kPair + R"("}})");
  settings_.pod_template.image_pull_secrets = {{"old", {}}};
  EXPECT_THAT(credentials(), ElementsAre(R"({"auths":{"a.example":{"auth":")" + kPair + R"("}}})"));
}

TEST_F(PullCredentials, ThatCannotBeUsedAreNoted) {
  secret("opaque", "Opaque", "password", "hunter2");
  settings_.pod_template.image_pull_secrets = {{"gone", {}}, {"opaque", {}}};
  EXPECT_THAT(credentials(), IsEmpty());
  EXPECT_THAT(notes_, ElementsAre(HasSubstr("\"gone\" of imagePullSecrets is not among the documents"),
                                  HasSubstr("\"opaque\" of imagePullSecrets is of type Opaque")));
}

TEST_F(PullCredentials, ThatAreMalformedNameTheSecretAndNoValue) {
  settings_.pod_template.image_pull_secrets = {{"s", {}}};
  for (const char* text : {"hunter2", R"({"auths":["hunter2"]})", R"({"auths":{"a.example":"hunter2"}})",
                           R"({"auths":{"a.example":{"auth":"hunter2"}}})"}) {
    secret("s", "kubernetes.io/dockerconfigjson", ".dockerconfigjson", text);
    EXPECT_THAT(problem(), HasSubstr("Secret \"s\"")) << text;
    EXPECT_THAT(problem(), Not(HasSubstr("hunter2")));
  }
  objects_.secrets["s"].values.clear();
  EXPECT_THAT(problem(), HasSubstr("has no key \".dockerconfigjson\""));
}

}  // namespace
}  // namespace kiln::executor
