#include "serving/discovery.h"

#include <string>

namespace kiln::serving {
namespace {

using nlohmann::json;

json resource(const std::string& name, const std::string& kind, const std::string& short_name,
              const json& verbs) {
  return {{"name", name},
          {"singularName", name.substr(0, name.size() - 1)},
          {"namespaced", true},
          {"kind", kind},
          {"verbs", verbs},
          {"shortNames", json::array({short_name})},
          {"categories", json::array({"all", "knative", "serving"})}};
}

json resources() {
  const json reads = json::array({"get", "list"});
  const json all = json::array({"create", "delete", "get", "list", "update"});
  json services = resource("services", "Service", "ksvc", all);
  services["shortNames"].push_back("kservice");
  return {{"kind", "APIResourceList"},
          {"apiVersion", "v1"},
          {"groupVersion", "serving.knative.dev/v1"},
          {"resources", json::array({services, resource("configurations", "Configuration", "config", reads),
                                     resource("revisions", "Revision", "rev", reads),
                                     resource("routes", "Route", "rt", reads)})}};
}

json group() {
  const json version = {{"groupVersion", "serving.knative.dev/v1"}, {"version", "v1"}};
  return {
      {"name", "serving.knative.dev"}, {"versions", json::array({version})}, {"preferredVersion", version}};
}

}  // namespace

std::optional<json> discovery(std::string_view path) {
  if (path == "/version")
    return json{{"major", "1"}, {"minor", "30"}, {"gitVersion", "v1.30.0+kiln"}, {"platform", "linux"}};
  if (path == "/api") return json{{"kind", "APIVersions"}, {"versions", json::array({"v1"})}};
  if (path == "/api/v1")
    return json{{"kind", "APIResourceList"}, {"groupVersion", "v1"}, {"resources", json::array()}};
  if (path == "/apis")
    return json{{"kind", "APIGroupList"}, {"apiVersion", "v1"}, {"groups", json::array({group()})}};
  if (path == "/apis/serving.knative.dev") {
    json one = group();
    one["kind"] = "APIGroup";
    one["apiVersion"] = "v1";
    return one;
  }
  if (path == "/apis/serving.knative.dev/v1") return resources();
  return std::nullopt;
}

}  // namespace kiln::serving
