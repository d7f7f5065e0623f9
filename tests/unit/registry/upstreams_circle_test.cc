// Registries that are each other's upstreams, or their own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "registry/server/upstreams.h"
#include "tests/unit/registry/policy_registry.h"

namespace kiln::registry {
namespace {

using testing::HasSubstr;

// Each other's upstreams.
class UpstreamsInACircle : public testing::Test {
 protected:
  static PolicySettings copying(const std::string& registry) {
    PolicySettings settings;
    settings.upstreams = {{"mirror", registry + "/mirror", std::chrono::minutes(10)}};
    return settings;
  }

  std::unique_ptr<PolicyRegistry> first_;
  HttpServer door_{on_free_port(),
                   [this](HttpExchange& exchange) { return first_->registry.handle(exchange); }};
  PolicyRegistry second_{copying(door_.authority())};
};

TEST_F(UpstreamsInACircle, AreToldAtOnce) {
  first_ = std::make_unique<PolicyRegistry>(copying(second_.server.authority()));
  for (const auto* registry : {first_.get(), &second_}) {
    const HttpResponse answer = registry->ask("GET", "/v2/mirror/app/manifests/latest");
    EXPECT_EQ(answer.status, 503);
    EXPECT_THAT(answer.body, HasSubstr("asks this server for it"));
  }
  const std::string bytes = manifest_of("{}", {"layer"});
  const Digest digest = first_->store.put(bytes, media::kManifest).digest;
  first_->store.tag("mirror/app:v1", {std::string(media::kManifest), digest, bytes.size(), {}, {}, {}, {}});
  EXPECT_EQ(second_.ask("GET", "/v2/mirror/app/manifests/" + digest.text()).body, bytes)
      << "what one of them has is no circle";
  EXPECT_EQ(second_.ask("GET", "/v2/mirror/app/blobs/" + sha256("layer").text()).status, 503);
}

TEST_F(UpstreamsInACircle, OneServerAloneIsOne) {
  first_ = std::make_unique<PolicyRegistry>(copying(door_.authority()));
  const HttpResponse answer = first_->ask("GET", "/v2/mirror/app/manifests/latest");
  EXPECT_EQ(answer.status, 503);
  EXPECT_THAT(answer.body, HasSubstr("correct `registry` of the upstream \\\"mirror\\\" in config.toml"));
  const HttpResponse own =
      first_->ask("GET", "/v2/mirror/app/manifests/latest", {}, {}, {{"Via", "1.1 kiln-other, 1.1 proxy"}});
  EXPECT_EQ(own.status, 503);
}

}  // namespace
}  // namespace kiln::registry
