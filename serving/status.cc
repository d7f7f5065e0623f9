#include "serving/status.h"

#include <algorithm>

namespace kiln::serving {
namespace {

using nlohmann::json;

json condition(const std::string& type, const std::string& status, const std::string& reason = {},
               const std::string& message = {}) {
  json out = {{"type", type}, {"status", status}};
  if (!reason.empty()) out["reason"] = reason;
  if (!message.empty()) out["message"] = message;
  return out;
}

const RevisionRecord* find(const std::vector<RevisionRecord>& revisions, const std::string& name) {
  const auto found = std::ranges::find(revisions, name, &RevisionRecord::name);
  return found == revisions.end() ? nullptr : &*found;
}

// Ready as the latest revision has it: a configuration is as ready as what it last created.
json configuration_condition(const std::string& type, const ServiceRecord& service,
                             const std::vector<RevisionRecord>& revisions) {
  const RevisionRecord* latest = find(revisions, service.latest_created);
  if (!latest || latest->state == RevisionState::Deploying)
    return condition(type, "Unknown", "Deploying", "Revision " + service.latest_created + " is deploying.");
  if (latest->state == RevisionState::Ready) return condition(type, "True");
  return condition(type, "False", "RevisionFailed",
                   "Revision \"" + latest->name + "\" failed with message: " + latest->message);
}

json route_condition(const std::string& type, const ServiceRecord& service,
                     const std::vector<RevisionRecord>& revisions) {
  for (const TrafficTarget& target : service.spec.traffic) {
    const std::string name = target.latest ? service.latest_ready : target.revision;
    if (name.empty()) {
      const RevisionRecord* latest = find(revisions, service.latest_created);
      const bool failed = latest && latest->state == RevisionState::Failed;
      return condition(type, failed ? "False" : "Unknown", failed ? "RevisionMissing" : "Deploying",
                       "Configuration \"" + service.spec.name + "\" does not have any ready Revision.");
    }
    const RevisionRecord* revision = find(revisions, name);
    if (!revision)
      return condition(type, "False", "RevisionMissing",
                       "Revision \"" + name + "\" referenced in traffic not found.");
    if (revision->state != RevisionState::Ready)
      return condition(type, "Unknown", "RevisionMissing", "Revision \"" + name + "\" is not yet ready.");
  }
  return condition(type, "True");
}

json traffic_json(const ServiceRecord& service, const std::string& domain, const std::string& authority) {
  json list = json::array();
  for (const TrafficTarget& target : service.spec.traffic) {
    const std::string name = target.latest ? service.latest_ready : target.revision;
    if (name.empty()) continue;
    json entry = {{"revisionName", name}, {"percent", target.percent}, {"latestRevision", target.latest}};
    if (!target.tag.empty()) {
      entry["tag"] = target.tag;
      entry["url"] =
          service_url(target.tag + "-" + service.spec.name, service.spec.name_space, domain, authority);
    }
    list.push_back(entry);
  }
  return list;
}

json metadata_json(const ServiceRecord& service, int64_t generation) {
  json metadata = service.spec.to_json()["metadata"];
  metadata["uid"] = service.uid;
  metadata["creationTimestamp"] = service.created;
  metadata["generation"] = generation;
  metadata["resourceVersion"] = std::to_string(service.generation);
  return metadata;
}

}  // namespace

std::string service_url(const std::string& name, const std::string& name_space, const std::string& domain,
                        const std::string& authority) {
  const size_t colon = authority.rfind(':');
  const std::string port = colon == std::string::npos ? "" : authority.substr(colon);
  const bool secure = authority.starts_with("https://");
  const bool usual = port == (secure ? ":443" : ":80");
  return (secure ? "https://" : "http://") + name + "." + name_space + "." + domain + (usual ? "" : port);
}

json service_json(const ServiceRecord& service, const std::vector<RevisionRecord>& revisions,
                  const std::string& domain, const std::string& authority) {
  json object = service.spec.to_json();
  object["metadata"] = metadata_json(service, service.generation);
  const json configurations = configuration_condition("ConfigurationsReady", service, revisions);
  const json routes = route_condition("RoutesReady", service, revisions);
  json ready = configurations["status"] != "True" ? configurations : routes;
  ready["type"] = "Ready";
  const std::string url = service_url(service.spec.name, service.spec.name_space, domain, authority);
  object["status"] = {{"observedGeneration", service.generation},
                      {"url", url},
                      {"address", {{"url", url}}},
                      {"latestCreatedRevisionName", service.latest_created},
                      {"conditions", json::array({configurations, ready, routes})},
                      {"traffic", traffic_json(service, domain, authority)}};
  if (!service.latest_ready.empty()) object["status"]["latestReadyRevisionName"] = service.latest_ready;
  return object;
}

json configuration_json(const ServiceRecord& service, const std::vector<RevisionRecord>& revisions) {
  json object = {{"apiVersion", "serving.knative.dev/v1"},
                 {"kind", "Configuration"},
                 {"metadata", metadata_json(service, service.template_generation)},
                 {"spec", {{"template", service.spec.revision_template}}}};
  object["metadata"]["labels"]["serving.knative.dev/service"] = service.spec.name;
  object["status"] = {{"observedGeneration", service.template_generation},
                      {"latestCreatedRevisionName", service.latest_created},
                      {"conditions", json::array({configuration_condition("Ready", service, revisions)})}};
  if (!service.latest_ready.empty()) object["status"]["latestReadyRevisionName"] = service.latest_ready;
  return object;
}

json route_json(const ServiceRecord& service, const std::vector<RevisionRecord>& revisions,
                const std::string& domain, const std::string& authority) {
  const json whole = service.spec.to_json();
  json object = {{"apiVersion", "serving.knative.dev/v1"},
                 {"kind", "Route"},
                 {"metadata", metadata_json(service, service.generation)},
                 {"spec", {{"traffic", whole["spec"]["traffic"]}}}};
  object["metadata"]["labels"]["serving.knative.dev/service"] = service.spec.name;
  const json ready = route_condition("Ready", service, revisions);
  json assigned = ready;
  assigned["type"] = "AllTrafficAssigned";
  const std::string url = service_url(service.spec.name, service.spec.name_space, domain, authority);
  object["status"] = {{"observedGeneration", service.generation},
                      {"url", url},
                      {"address", {{"url", url}}},
                      {"conditions", json::array({assigned, condition("IngressReady", "True"), ready})},
                      {"traffic", traffic_json(service, domain, authority)}};
  return object;
}

json revision_json(const RevisionRecord& revision, bool routed, int instances) {
  json object = {{"apiVersion", "serving.knative.dev/v1"}, {"kind", "Revision"}};
  json metadata = revision.revision_template.value("metadata", json::object());
  metadata["name"] = revision.name;
  metadata["namespace"] = revision.name_space;
  metadata["creationTimestamp"] = revision.created;
  metadata["generation"] = 1;
  metadata["labels"]["serving.knative.dev/configuration"] = revision.service;
  metadata["labels"]["serving.knative.dev/configurationGeneration"] = std::to_string(revision.generation);
  metadata["labels"]["serving.knative.dev/service"] = revision.service;
  metadata["labels"]["serving.knative.dev/routingState"] = routed ? "active" : "reserve";
  object["metadata"] = metadata;
  object["spec"] = revision.revision_template.value("spec", json::object());

  const std::string status = revision.state == RevisionState::Ready    ? "True"
                             : revision.state == RevisionState::Failed ? "False"
                                                                       : "Unknown";
  const std::string reason = revision.state == RevisionState::Deploying ? "Deploying" : revision.reason;
  json active = !routed ? condition("Active", "False", "NoTraffic", "The target is not receiving traffic.")
                : instances > 0
                    ? condition("Active", "True")
                    : condition("Active", "False", "NoTraffic", "The target is at zero instances.");
  active["severity"] = "Info";
  object["status"] = {
      {"observedGeneration", 1},
      {"actualReplicas", instances},
      {"conditions", json::array({active, condition("ContainerHealthy", status, reason, revision.message),
                                  condition("Ready", status, reason, revision.message),
                                  condition("ResourcesAvailable", status, reason, revision.message)})}};
  if (!revision.image_digest.empty()) {
    std::string image = revision.revision_template["spec"]["containers"][0].value("image", "");
    image.resize(std::min(image.size(), image.find('@')));
    if (const size_t tag = image.rfind(':');
        tag != std::string::npos && image.find('/', tag) == std::string::npos)
      image.resize(tag);
    object["status"]["containerStatuses"] =
        json::array({{{"name", "user-container"}, {"imageDigest", image + "@" + revision.image_digest}}});
  }
  return object;
}

}  // namespace kiln::serving
