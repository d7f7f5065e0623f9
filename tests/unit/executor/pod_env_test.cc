#include "executor/pod_env.h"

#include <gmock/gmock.h>

#include "base/error.h"
#include "tests/unit/executor/values.h"

namespace kiln::executor {
namespace {

using testing::config_map;
using ::testing::ElementsAre;
using testing::facts_of;
using ::testing::HasSubstr;
using ::testing::Pair;
using testing::secret;
using testing::why;

dag::EnvVar from_secret(std::string name, std::string object, std::string key, bool optional = false) {
  dag::EnvVar out;
  out.name.value = std::move(name);
  out.from = dag::EnvVar::From::SecretKey;
  out.object.value = std::move(object);
  out.key.value = std::move(key);
  out.optional = optional;
  return out;
}

dag::EnvVar plain(std::string name, std::string value) {
  dag::EnvVar out;
  out.name.value = std::move(name);
  out.value.value = std::move(value);
  return out;
}

TEST(PodEnv, PutsWholeObjectsBeforeWhatIsNamed) {
  dag::ClusterObjects objects;
  config_map(objects, "c", {{"a", "1"}, {"b.c", "2"}, {"9lives", "no name"}, {"with space", "no name"}});
  dag::Container step;
  step.env_from = {{.secret = false, .name = {"c", {}}, .prefix = {}},
                   {.secret = true, .name = {"nowhere", {}}, .prefix = {}, .optional = true}};
  step.env = {plain("A", "$(a)")};
  EXPECT_THAT(container_env(step, facts_of(objects)),
              ElementsAre(Pair("a", "1"), Pair("b.c", "2"), Pair("A", "$(a)")));
  step.env_from[0].prefix.value = "P_";
  EXPECT_THAT(
      container_env(step, facts_of(objects)),
      ElementsAre(Pair("P_9lives", "no name"), Pair("P_a", "1"), Pair("P_b.c", "2"), Pair("A", "$(a)")));
}

TEST(PodEnv, KeepsWhatASecretHoldsLiteral) {
  dag::ClusterObjects objects;
  secret(objects, "s", {{"k", "a$(B)$c"}});
  dag::Container step;
  step.env = {from_secret("K", "s", "k")};
  EXPECT_THAT(container_env(step, facts_of(objects)), ElementsAre(Pair("K", "a$$(B)$$c")));
}

TEST(PodEnv, LeavesOutWhatIsOptionalAndMissing) {
  dag::ClusterObjects objects;
  secret(objects, "s", {{"k", "v"}});
  dag::Container step;
  step.env = {from_secret("A", "s", "other", true), from_secret("B", "nowhere", "k", true),
              from_secret("C", "s", "k")};
  EXPECT_THAT(container_env(step, facts_of(objects)), ElementsAre(Pair("C", "v")));
}

TEST(PodEnv, NamesWhatIsMissing) {
  dag::ClusterObjects objects;
  secret(objects, "s", {{"k", "v"}});
  dag::Container step;
  step.env = {from_secret("A", "s", "other")};
  EXPECT_THAT(why([&] { container_env(step, facts_of(objects)); }),
              HasSubstr("Secret \"s\" has no key \"other\""));
  step.env = {from_secret("A", "t", "k")};
  EXPECT_THAT(why([&] { container_env(step, facts_of(objects)); }), HasSubstr("Secret \"t\" is not among"));
}

TEST(PodEnv, RefusesANulByteWithoutShowingTheValue) {
  dag::ClusterObjects objects;
  secret(objects, "s", {{"k", std::string("hidden\0X=1", 10)}});
  dag::Container step;
  step.env = {from_secret("A", "s", "k"), plain("B", "x")};
  const std::string said = why([&] { container_env(step, facts_of(objects)); });
  EXPECT_THAT(said, HasSubstr("the variable A"));
  EXPECT_THAT(said, ::testing::Not(HasSubstr("hidden")));
}

TEST(PodEnv, RefusesAnObjectThatNoClusterWouldTake) {
  dag::ClusterObjects objects;
  secret(objects, "s", {{"k", std::string((1u << 20) + 1, 'x')}});
  EXPECT_THAT(why([&] { find_object(facts_of(objects), true, "s"); }), HasSubstr("at most 1.0 MiB"));
}

TEST(PodEnv, KnowsTheDownwardApi) {
  dag::ClusterObjects objects;
  PodFacts facts = facts_of(objects);
  facts.labels = {{"app", "x"}, {"quoted", "a\"b"}};
  EXPECT_EQ(pod_field(facts, "metadata.name"), "p-pod");
  EXPECT_EQ(pod_field(facts, "metadata.namespace"), "default");
  EXPECT_EQ(pod_field(facts, "status.podIP"), "127.0.0.1");
  EXPECT_EQ(pod_field(facts, "metadata.labels['app']"), "x");
  EXPECT_EQ(pod_field(facts, "metadata.labels['none']"), "");
  EXPECT_EQ(pod_field(facts, "metadata.labels"), "app=\"x\"\nquoted=\"a\\\"b\"");
  EXPECT_THROW(pod_field(facts, "spec.hostname"), Error);
  EXPECT_THROW(pod_field(facts, "metadata.labels['"), Error);
}

TEST(PodEnv, CountsResourcesInTheirDivisorRoundedUp) {
  dag::ClusterObjects objects;
  PodFacts facts = facts_of(objects);
  facts.machine_cpus = 4;
  dag::ComputeResources own;
  own.memory_limit.value = "100Mi";
  own.cpu_limit.value = "1500m";
  facts.containers["step-other"].memory_limit.value = "1Gi";
  EXPECT_EQ(container_resource(facts, own, "limits.memory", ""), "104857600");
  EXPECT_EQ(container_resource(facts, own, "limits.memory", "1Mi"), "100");
  EXPECT_EQ(container_resource(facts, own, "limits.cpu", ""), "2");
  EXPECT_EQ(container_resource(facts, own, "limits.cpu", "1m"), "1500");
  EXPECT_EQ(container_resource(facts, own, "requests.memory", "1Mi"), "100");
  EXPECT_EQ(container_resource(facts, {}, "limits.cpu", ""), "4");
  EXPECT_EQ(container_resource(facts, "step-other", &own, "limits.memory", "1Gi"), "1");
  EXPECT_THROW(container_resource(facts, "step-none", &own, "limits.memory", ""), Error);
  EXPECT_THROW(container_resource(facts, own, "limits.gpu", ""), Error);
  EXPECT_THROW(container_resource(facts, own, "limits.cpu", "x"), Error);
}

}  // namespace
}  // namespace kiln::executor
