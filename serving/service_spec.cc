#include "serving/service_spec.h"

#include <algorithm>
#include <array>
#include <set>

#include "serving/container_fields.h"
#include "serving/fields.h"

namespace kiln::serving {
namespace {

using nlohmann::json;

// RFC 1035 label, as Kubernetes names services.
bool is_dns_label(std::string_view name) {
  if (name.empty() || name.size() > 63 || !(name[0] >= 'a' && name[0] <= 'z') || name.back() == '-')
    return false;
  return std::ranges::all_of(
      name, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; });
}

std::vector<TrafficTarget> read_traffic(Fields& fields, const json& list) {
  std::vector<TrafficTarget> traffic;
  std::set<std::string> tags;
  int64_t sum = 0;
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string path = "spec.traffic[" + std::to_string(i) + "]";
    if (!list[i].is_object()) {
      fields.problem(path, "expected an object");
      continue;
    }
    // `url` is what a status shows; it comes back when somebody edits what `get` printed.
    fields.known(list[i], path, {"revisionName", "latestRevision", "percent", "tag", "url"});
    TrafficTarget target{.revision = fields.text(list[i], "revisionName", path + ".revisionName"),
                         .latest = false,
                         .percent = fields.integer(list[i], "percent", path + ".percent", 0, 0, 100),
                         .tag = fields.text(list[i], "tag", path + ".tag")};
    target.latest =
        fields.boolean(list[i], "latestRevision", path + ".latestRevision", target.revision.empty());
    if (target.latest && !target.revision.empty())
      fields.problem(path + ".latestRevision", "may not be true together with revisionName");
    if (!target.latest && target.revision.empty())
      fields.problem(path + ".revisionName", "missing field(s): needed when latestRevision is false");
    if (!target.revision.empty() && !is_dns_label(target.revision))
      fields.problem(path + ".revisionName", "not a revision's name: \"" + target.revision + "\"");
    if (!target.tag.empty() && !is_dns_label(target.tag))
      fields.problem(path + ".tag", "not a DNS 1035 label: \"" + target.tag + "\"");
    if (!target.tag.empty() && !tags.insert(target.tag).second)
      fields.problem(path + ".tag", "Multiple definitions for " + target.tag);
    sum += target.percent;
    traffic.push_back(std::move(target));
  }
  if (!list.empty() && sum != 100)
    fields.problem("spec.traffic", "Traffic targets sum to " + std::to_string(sum) + ", want 100");
  return traffic;
}

void check_template(Fields& fields, const json& revision_template, const std::string& service) {
  fields.known(revision_template, "spec.template", {"metadata", "spec"});
  ContainerSettings settings;
  read_container_settings(fields, revision_template, settings);
  const json& metadata = fields.object(revision_template, "metadata", "spec.template.metadata");
  const std::string name = fields.text(metadata, "name", "spec.template.metadata.name");
  if (!name.empty() && (!name.starts_with(service + "-") || !is_dns_label(name)))
    fields.problem("spec.template.metadata.name",
                   "expected a DNS label that starts with \"" + service + "-\"");
  fields.text_map(metadata, "labels", "spec.template.metadata.labels");
}

ServiceSpec read_service(Fields& fields, const json& document) {
  ServiceSpec service;
  if (!document.is_object()) {
    fields.problem("$", "expected an object");
    return service;
  }
  fields.known(document, "", {"apiVersion", "kind", "metadata", "spec", "status"});
  static constexpr std::array<std::string_view, 3> kVersions = {
      "serving.knative.dev/v1", "serving.knative.dev/v1beta1", "serving.knative.dev/v1alpha1"};
  const std::string api = fields.text(document, "apiVersion", "apiVersion");
  const std::string kind = fields.text(document, "kind", "kind");
  if (std::ranges::find(kVersions, api) == kVersions.end() || kind != "Service")
    fields.problem("kind", "expected a serving.knative.dev/v1 Service, got \"" + api + "\" \"" + kind + "\"");

  const json& metadata = fields.object(document, "metadata", "metadata");
  service.name = fields.text(metadata, "name", "metadata.name");
  if (const auto name_space = fields.text(metadata, "namespace", "metadata.namespace"); !name_space.empty())
    service.name_space = name_space;
  service.labels = fields.text_map(metadata, "labels", "metadata.labels");
  service.annotations = fields.text_map(metadata, "annotations", "metadata.annotations");
  if (!is_dns_label(service.name))
    fields.problem("metadata.name", "not a DNS 1035 label: \"" + service.name + "\"");
  if (!is_dns_label(service.name_space))
    fields.problem("metadata.namespace", "not a DNS label: \"" + service.name_space + "\"");
  for (const auto& [key, value] : service.annotations)
    if (key.starts_with("autoscaling.knative.dev/"))
      fields.problem("metadata.annotations[" + key + "]",
                     "autoscaling annotations must be put under spec.template.metadata.annotations");

  const json& spec = fields.object(document, "spec", "spec");
  fields.known(spec, "spec", {"template", "traffic"});
  service.revision_template = fields.object(spec, "template", "spec.template");
  check_template(fields, service.revision_template, service.name);
  service.traffic = read_traffic(fields, fields.list(spec, "traffic", "spec.traffic"));
  if (service.traffic.empty())
    service.traffic = {{.revision = "", .latest = true, .percent = 100, .tag = ""}};
  return service;
}

}  // namespace

ServiceSpec ServiceSpec::parse(const json& document) {
  Fields fields;
  ServiceSpec service = read_service(fields, document);
  fields.finish("this Service is not valid:");
  return service;
}

ServiceSpec ServiceSpec::stored(const json& document) {
  Fields fields;
  return read_service(fields, document);
}

json ServiceSpec::to_json() const {
  json metadata = {{"name", name}, {"namespace", name_space}};
  if (!labels.empty()) metadata["labels"] = labels;
  if (!annotations.empty()) metadata["annotations"] = annotations;
  json targets = json::array();
  for (const TrafficTarget& target : traffic) {
    json entry = {{"percent", target.percent}};
    if (target.latest)
      entry["latestRevision"] = true;
    else
      entry["revisionName"] = target.revision;
    if (!target.tag.empty()) entry["tag"] = target.tag;
    targets.push_back(entry);
  }
  return {{"apiVersion", "serving.knative.dev/v1"},
          {"kind", "Service"},
          {"metadata", metadata},
          {"spec", {{"template", revision_template}, {"traffic", targets}}}};
}

ContainerSettings ContainerSettings::of(const json& revision_template) {
  Fields fields;
  ContainerSettings settings;
  read_container_settings(fields, revision_template, settings);
  return settings;
}

}  // namespace kiln::serving
