#include "serving/service_spec.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"

namespace kiln::serving {
namespace {

using nlohmann::json;

// RFC 1035 label, as Kubernetes names services.
bool is_dns_label(std::string_view name) {
  if (name.empty() || name.size() > 63 || !(name[0] >= 'a' && name[0] <= 'z') || name.back() == '-') return false;
  return std::ranges::all_of(
      name, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; });
}

// Collects what is wrong, so that the user sees all of it at once.
class Checker {
 public:
  void problem(const std::string& path, const std::string& what) { problems_ += what + ": " + path + "\n"; }

  void known_fields(const json& object, const std::string& path, std::initializer_list<const char*> known) {
    if (!object.is_object()) return problem(path, "expected an object");
    const std::vector<std::string> names(known.begin(), known.end());
    for (const auto& [key, value] : object.items()) {
      if (std::ranges::find(names, key) != names.end()) continue;
      const auto near = nearest(key, names);
      problem(path + "." + key, "unknown field" + (near ? " (did you mean " + *near + "?)" : std::string()));
    }
  }

  void finish() {
    if (problems_.empty()) return;
    problems_.pop_back();
    throw Error(ErrorKind::Invalid, "this Service is not valid:\n" + problems_);
  }

 private:
  std::string problems_;
};

std::map<std::string, std::string> string_map(const json& object, const char* key) {
  std::map<std::string, std::string> out;
  if (object.is_object() && object.contains(key) && object[key].is_object())
    for (const auto& [name, value] : object[key].items())
      out[name] = value.is_string() ? value.get<std::string>() : value.dump();
  return out;
}

void check_container(Checker& check, const json& spec, const std::string& path) {
  if (!spec.contains("containers") || !spec["containers"].is_array() || spec["containers"].size() != 1)
    return check.problem(path + ".containers", "expected exactly one container");
  const json& container = spec["containers"][0];
  const std::string at = path + ".containers[0]";
  if (!container.is_object() || !container.value("image", json()).is_string() ||
      container["image"].get<std::string>().empty())
    return check.problem(at + ".image", "missing field(s)");
  for (const json& variable : container.value("env", json::array())) {
    const std::string name = variable.is_object() ? variable.value("name", "") : "";
    if (name.empty()) check.problem(at + ".env", "missing field(s) name");
    for (const char* reserved : {"PORT", "K_SERVICE", "K_CONFIGURATION", "K_REVISION"})
      if (name == reserved) check.problem(at + ".env", "\"" + name + "\" is a reserved environment variable");
  }
  const json ports = container.value("ports", json::array());
  if (ports.size() > 1) check.problem(at + ".ports", "more than one port");
  for (const json& port : ports) {
    const std::string name = port.value("name", "");
    if (!name.empty() && name != "http1" && name != "h2c")
      check.problem(at + ".ports.name", "port name " + name + " is not allowed (http1, h2c)");
    const int number = port.value("containerPort", 8080);
    if (number < 1 || number > 65535) check.problem(at + ".ports.containerPort", "expected 1 <= port <= 65535");
  }
}

void check_template(Checker& check, const json& revision_template, const std::string& service) {
  check.known_fields(revision_template, "spec.template", {"metadata", "spec"});
  const json spec = revision_template.value("spec", json::object());
  check.known_fields(spec, "spec.template.spec",
                     {"containers", "containerConcurrency", "timeoutSeconds", "responseStartTimeoutSeconds",
                      "idleTimeoutSeconds", "serviceAccountName", "volumes", "enableServiceLinks",
                      "imagePullSecrets"});
  check_container(check, spec, "spec.template.spec");
  const int concurrency = spec.value("containerConcurrency", 0), timeout = spec.value("timeoutSeconds", 300);
  if (concurrency < 0 || concurrency > 1000)
    check.problem("spec.template.spec.containerConcurrency", "expected 0 <= " + std::to_string(concurrency) + " <= 1000");
  if (timeout < 0 || timeout > 600)
    check.problem("spec.template.spec.timeoutSeconds", "expected 0 <= " + std::to_string(timeout) + " <= 600");
  const std::string name = revision_template.value("metadata", json::object()).value("name", "");
  if (!name.empty() && (!name.starts_with(service + "-") || !is_dns_label(name)))
    check.problem("spec.template.metadata.name", "expected a DNS label that starts with \"" + service + "-\"");
}

std::vector<TrafficTarget> read_traffic(Checker& check, const json& list) {
  std::vector<TrafficTarget> traffic;
  std::set<std::string> tags;
  int sum = 0;
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string path = "spec.traffic[" + std::to_string(i) + "]";
    check.known_fields(list[i], path,
                       {"revisionName", "configurationName", "latestRevision", "percent", "tag", "url"});
    if (!list[i].is_object()) continue;
    TrafficTarget target{list[i].value("revisionName", ""), list[i].value("latestRevision", false),
                         list[i].value("percent", 0), list[i].value("tag", "")};
    if (target.revision.empty()) target.latest = true;
    else if (target.latest) check.problem(path + ".latestRevision", "may not be true together with revisionName");
    if (!target.tag.empty() && !is_dns_label(target.tag)) check.problem(path + ".tag", "invalid value: " + target.tag);
    if (!target.tag.empty() && !tags.insert(target.tag).second)
      check.problem(path + ".tag", "Multiple definitions for " + target.tag);
    sum += target.percent;
    traffic.push_back(std::move(target));
  }
  if (!list.empty() && sum != 100)
    check.problem("spec.traffic", "Traffic targets sum to " + std::to_string(sum) + ", want 100");
  return traffic;
}

// Kubernetes quantities: "128Mi", "1.5", "500m".
double quantity(const json& value) {
  if (value.is_number()) return value.get<double>();
  if (!value.is_string()) return 0;
  const std::string text = value.get<std::string>();
  char* rest = nullptr;
  const double number = std::strtod(text.c_str(), &rest);
  static const std::map<std::string, double> kUnits = {
      {"", 1},   {"m", 1e-3}, {"k", 1e3}, {"M", 1e6}, {"G", 1e9}, {"Ki", 1024.0}, {"Mi", 1048576.0}, {"Gi", 1073741824.0}};
  const auto unit = kUnits.find(rest);
  return unit == kUnits.end() ? 0 : number * unit->second;
}

}  // namespace

ServiceSpec ServiceSpec::parse(const json& document) {
  Checker check;
  ServiceSpec service;
  try {
    check.known_fields(document, "$", {"apiVersion", "kind", "metadata", "spec", "status"});
    const std::string api = document.value("apiVersion", ""), kind = document.value("kind", "");
    if (!api.starts_with("serving.knative.dev/") || kind != "Service")
      check.problem("kind", "expected a serving.knative.dev/v1 Service, got " + api + " " + kind);
    const json metadata = document.value("metadata", json::object());
    service.name = metadata.value("name", "");
    service.name_space = metadata.value("namespace", "default");
    service.labels = string_map(metadata, "labels");
    service.annotations = string_map(metadata, "annotations");
    if (!is_dns_label(service.name)) check.problem("metadata.name", "not a DNS 1035 label: \"" + service.name + "\"");
    if (!is_dns_label(service.name_space)) check.problem("metadata.namespace", "not a DNS label");
    for (const auto& [key, value] : service.annotations)
      if (key.starts_with("autoscaling.knative.dev/"))
        check.problem("metadata.annotations[" + key + "]", "autoscaling annotations must be put under spec.template.metadata.annotations");
    const json spec = document.value("spec", json::object());
    check.known_fields(spec, "spec", {"template", "traffic"});
    service.revision_template = spec.value("template", json::object());
    check_template(check, service.revision_template, service.name);
    service.traffic = read_traffic(check, spec.value("traffic", json::array()));
  } catch (const json::exception& error) {
    throw Error(ErrorKind::Invalid, std::string("this Service is not valid: ") + error.what());
  }
  check.finish();
  if (service.traffic.empty()) service.traffic = {{.revision = "", .latest = true, .percent = 100, .tag = ""}};
  return service;
}

json ServiceSpec::to_json() const {
  json metadata = {{"name", name}, {"namespace", name_space}};
  if (!labels.empty()) metadata["labels"] = labels;
  if (!annotations.empty()) metadata["annotations"] = annotations;
  json targets = json::array();
  for (const TrafficTarget& target : traffic) {
    json entry = {{"percent", target.percent}};
    if (target.latest) entry["latestRevision"] = true;
    else entry["revisionName"] = target.revision;
    if (!target.tag.empty()) entry["tag"] = target.tag;
    targets.push_back(entry);
  }
  return {{"apiVersion", "serving.knative.dev/v1"},
          {"kind", "Service"},
          {"metadata", metadata},
          {"spec", {{"template", revision_template}, {"traffic", targets}}}};
}

ContainerSettings ContainerSettings::of(const json& revision_template) {
  ContainerSettings settings;
  const json spec = revision_template.value("spec", json::object());
  const json container = spec.value("containers", json::array()).at(0);
  settings.image = container.value("image", "");
  settings.command = container.value("command", std::vector<std::string>());
  settings.args = container.value("args", std::vector<std::string>());
  settings.working_dir = container.value("workingDir", "");
  for (const json& variable : container.value("env", json::array()))
    settings.env[variable.value("name", "")] = variable.value("value", "");
  for (const json& port : container.value("ports", json::array())) settings.port = port.value("containerPort", 8080);
  settings.concurrency = spec.value("containerConcurrency", 0);
  settings.timeout = std::chrono::seconds(spec.value("timeoutSeconds", 300));
  const json limits = container.value("resources", json::object()).value("limits", json::object());
  if (limits.contains("memory")) settings.memory_bytes = static_cast<uint64_t>(std::llround(quantity(limits["memory"])));
  if (limits.contains("cpu")) settings.cpus = quantity(limits["cpu"]);

  const auto annotations = string_map(revision_template.value("metadata", json::object()), "annotations");
  const auto number = [&](const char* name, int& into) {
    const auto found = annotations.find(std::string("autoscaling.knative.dev/") + name);
    if (found != annotations.end()) into = std::max(0, std::atoi(found->second.c_str()));
  };
  number("min-scale", settings.min_scale);
  number("max-scale", settings.max_scale);
  if (const auto found = annotations.find("autoscaling.knative.dev/window"); found != annotations.end())
    if (const auto window = parse_duration(found->second))
      settings.window = std::clamp(std::chrono::duration_cast<std::chrono::seconds>(*window), std::chrono::seconds(6),
                                   std::chrono::seconds(3600));
  return settings;
}

}  // namespace kiln::serving
